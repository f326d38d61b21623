package schema

import "io/fs"

// Version is the schema version that this binary installs and needs: the number of its migrations.
func Version() (int, error) {
	source, err := embedded()
	if err != nil {
		return 0, err
	}
	migrations, err := fs.Glob(source.Migrations, "*.sql")
	return len(migrations), err
}
