package auth

import (
	"context"
	"fmt"
	"os"
	"os/user"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/postgres"
)

// Login gives the name of who started the program: who called sudo rather than root; "" when it is not known.
func Login() string {
	if os.Geteuid() == 0 {
		if name := os.Getenv("SUDO_USER"); name != "" && name != "root" {
			return name
		}
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return os.Getenv("USER")
}

var (
	notInName = regexp.MustCompile(`[^a-z0-9_]+`)
)

// UserName maps a login of the operating system to the name of a user: `^[a-z][a-z0-9_]{0,62}$`, none of PostgreSQL's own and
// none of ours. mapped tells that it had to change. root becomes admin, and postgres too: a superuser has no sessions here.
func UserName(login string) (name string, mapped bool) {
	name = login
	if at := strings.LastIndexAny(name, `\`); at >= 0 { // DOMAIN\user
		name = name[at+1:]
	}
	name, _, _ = strings.Cut(name, "@")
	name = strings.Trim(notInName.ReplaceAllString(strings.ToLower(name), "_"), "_")
	switch name {
	case "root", "postgres":
		name = "admin"
	case "public", "everyone", "cron", "none", "information_schema":
		name = "u_" + name
	case "":
		name = "me"
	}
	if c := name[0]; c < 'a' || c > 'z' || strings.HasPrefix(name, "pg_") || strings.HasPrefix(name, "tinydev") {
		name = "u_" + name
	}
	name = name[:min(len(name), 63)]
	return name, name != login
}

// EnsureUser makes the user, an administrator, when there is none of the name. conn is a superuser's.
// Errors: conflict user_is_other_role when a role has the name that is no user of TinyDevCRM; invalid user_name_invalid;
// conflict name_taken when a schema has the name.
func EnsureUser(ctx context.Context, conn *pgx.Conn, name string) (made bool, err error) {
	var there, member bool
	err = conn.QueryRow(ctx, `
select exists (select from pg_catalog.pg_roles where rolname = $1),
       exists (select from pg_catalog.pg_auth_members m join pg_catalog.pg_roles r on r.oid = m.member
                where m.roleid = 'tinydev_user'::regrole and r.rolname = $1)`, name).Scan(&there, &member)
	if err != nil {
		return false, fmt.Errorf("look for the user %s: %w", name, postgres.Fault(err, ""))
	}
	if there && !member {
		return false, fault.New(fault.Conflict, "user_is_other_role", "there is a role %s in this PostgreSQL, and it is no user of TinyDevCRM", name).
			WithHint("choose another name with --user or TINYDEV_USER, or let the role in: grant tinydev_user to %s; create schema if not exists %[1]s authorization %[1]s",
				pgx.Identifier{name}.Sanitize())
	}
	if there {
		return false, nil
	}
	if _, err := conn.Exec(ctx, "select tinydev.create_user($1, admin => true)", name); err != nil {
		return false, fmt.Errorf("make the user %s: %w", name, postgres.Fault(err, ""))
	}
	return true, nil
}
