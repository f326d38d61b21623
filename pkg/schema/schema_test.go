package schema_test

import (
	"testing"

	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func TestInstalled(t *testing.T) {
	db := pgtest.DB(t)
	if n := pgtest.Value[int](t, db.Conn(pgtest.Ann), "select count(*)::int from tinydev.job"); n != 0 {
		t.Errorf("a new user sees %d jobs, want 0", n)
	}
}
