package web

import (
	"net/http"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

// isAdministrator asks PostgreSQL, once a visit, whether the visitor is one.
func (v *visit) isAdministrator() (bool, error) {
	if v.administrator == nil {
		_, err := v.user.Audit(v.ctx(), control.AuditFilter{}, 0, 1)
		if err != nil && fault.KindOf(err) != fault.Forbidden {
			return false, err
		}
		is := err == nil
		v.administrator = &is
	}
	return *v.administrator, nil
}

// administrators shows everybody else a page that says so, and not what PostgreSQL refuses them of it.
func administrators(h handler) handler {
	return func(v *visit) error {
		is, err := v.isAdministrator()
		if err != nil {
			return err
		}
		if !is {
			err := fault.New(fault.Forbidden, "not_allowed", "this page is for administrators, and %s is none", v.user.Role).
				WithHint("an administrator can make you one, or do for you what you came for")
			return v.show(http.StatusForbidden, "problem", "", "For administrators", v.explain(err, ""))
		}
		return h(v)
	}
}
