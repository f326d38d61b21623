package web

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/tinydevcrm/tinydevcrm/pkg/auth"
	"github.com/tinydevcrm/tinydevcrm/pkg/control"
)

// accountPage is what the visitor is and may do.
type accountPage struct {
	User      control.Account
	ShellName string // the name, as a shell takes it
	ReadOnly  bool   // the visitor signed in with a token that only reads
	Limits    []limitField
	Tokens    []control.Token
	Browsers  []control.Token // that are signed in to the pages
	Here      int64           // the one of this page
	Trusted   []control.Trusted
	Others    []string // other users, to choose from
}

// showAccount answers GET /account.
func showAccount(v *visit) error {
	p := accountPage{ShellName: shellWord(v.user.Role)}
	var err error
	if p.User, err = v.user.DescribeUser(v.ctx(), v.user.Role); err != nil {
		return err
	}
	who := auth.PrincipalFrom(v.ctx())
	p.ReadOnly, p.Here = who.ReadOnly, who.TokenID
	if p.Tokens, err = v.user.Tokens(v.ctx(), control.APIToken, v.user.Role, 0, 1000); err != nil {
		return err
	}
	if p.Browsers, err = v.user.Tokens(v.ctx(), control.PageSession, v.user.Role, 0, 1000); err != nil {
		return err
	}
	if p.Trusted, err = v.user.Trusts(v.ctx(), "", 1000); err != nil {
		return err
	}
	settings, err := v.user.Settings(v.ctx())
	if err != nil {
		return err
	}
	p.Limits = limitForm(settings, p.User.Limits)
	for i := range p.Limits {
		if p.Limits[i].Value = ""; p.Limits[i].had > 0 {
			p.Limits[i].Value = count(int64(p.Limits[i].had))
		}
	}
	if p.Others, err = v.otherUsers(); err != nil {
		return err
	}
	return v.show(http.StatusOK, "account", "account", "Your account", p)
}

// otherUsers gives the names of the users to choose from: as many as one page of a list has.
func (v *visit) otherUsers() ([]string, error) {
	users, err := v.user.Users(v.ctx(), "", listLimit)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, each := range users {
		if each.Name != v.user.Role {
			names = append(names, each.Name)
		}
	}
	return names, nil
}

// shellWord quotes a name that a shell would take apart.
func shellWord(name string) string {
	if name != "" && strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") == "" {
		return name
	}
	return "'" + strings.ReplaceAll(name, "'", `'\''`) + "'"
}

// subject is whose password or token a page is about.
type subject struct {
	User     string
	ForOther bool
	Cancel   string // where the page was come from
}

// subject reads the field user; without one it is the visitor.
func (v *visit) subject() subject {
	name := v.FormValue("user")
	if name == "" || name == v.user.Role {
		return subject{User: v.user.Role, Cancel: "/account"}
	}
	return subject{User: name, ForOther: true, Cancel: "/user?" + url.Values{"name": {name}}.Encode()}
}

// section is the entry of the navigation that the page belongs to.
func (s subject) section() string {
	if s.ForOther {
		return "users"
	}
	return "account"
}

// passwordPage sets a password.
type passwordPage struct {
	subject
	Made    string // a generated one, to be shown this once
	SQL     []string
	Problem *problem
}

// newPassword answers GET /password?user=.
func newPassword(v *visit) error {
	p := passwordPage{subject: v.subject()}
	plan, err := v.user.SetPassword(v.ctx(), p.User, "", true)
	p.SQL = plan.SQL
	return v.showPassword(http.StatusOK, p, err)
}

func (v *visit) showPassword(status int, p passwordPage, err error) error {
	if p.Problem = v.explain(err, ""); p.Problem != nil {
		status = p.Problem.Status
	}
	return v.show(status, "password", p.section(), "Set a password", p)
}

// setPassword answers POST /password (user, password, do=save|generate); a generated one is shown in the answer.
func setPassword(v *visit) error {
	p := passwordPage{subject: v.subject()}
	password := v.FormValue("password")
	switch do := v.FormValue("do"); {
	case do == "generate":
		password = ""
	case do != "save":
		return unknownStep(do)
	case password == "": // which would be taken for a wish to have one generated
		password = " "
	}
	set, err := v.user.SetPassword(v.ctx(), p.User, password, false)
	if err != nil || set.Made.Password != "" {
		p.Made = set.Made.Password
		return v.showPassword(http.StatusOK, p, err)
	}
	return v.backTo(p.Cancel, "password-set")
}
