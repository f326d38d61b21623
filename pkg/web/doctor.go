package web

import (
	"net/http"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
)

// doctorPage shows what the doctor found.
type doctorPage struct {
	control.Examination
	Administrator bool
	SQL           []string // what mending would run
	Problem       *problem
}

// Bad are the findings that somebody should look at.
func (p doctorPage) Bad() []control.Finding { return p.of(control.LevelError, control.LevelWarn) }

// Notes are those that are only good to know.
func (p doctorPage) Notes() []control.Finding { return p.of(control.LevelInfo) }

// Well are the checks that found nothing.
func (p doctorPage) Well() []control.Finding { return p.of(control.LevelOK) }

func (p doctorPage) of(levels ...string) (list []control.Finding) {
	for _, f := range p.Findings {
		for _, level := range levels {
			if f.Level == level {
				list = append(list, f)
			}
		}
	}
	return list
}

// showDoctor answers GET /doctor.
func showDoctor(v *visit) error {
	var p doctorPage
	var err error
	if p.Examination, err = v.user.Doctor(v.ctx()); err != nil {
		return err
	}
	if p.Administrator, err = v.isAdministrator(); err != nil {
		return err
	}
	if p.Administrator {
		plan, err := v.user.MendSafe(v.ctx(), true)
		if err != nil {
			p.Problem = v.explain(err, "")
		}
		p.SQL = plan.SQL
	}
	return v.show(http.StatusOK, "doctor", "doctor", "Doctor", p)
}

// mend answers POST /doctor: it mends what can be mended without a loss.
func mend(v *visit) error {
	if _, err := v.user.MendSafe(v.ctx(), false); err != nil {
		return err
	}
	return v.back("/doctor?done=mended")
}
