package web

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

// isAdministrator asks PostgreSQL, once a visit, whether the visitor is one.
func (v *visit) isAdministrator() (bool, error) {
	if v.administrator == nil {
		me, err := v.user.DescribeUser(v.ctx(), v.user.Role)
		if err != nil {
			return false, err
		}
		v.administrator = &me.Admin
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
			err := fault.New(fault.Forbidden, "admin_only", "this page is for administrators, and %s is none", v.user.Role).
				WithHint("an administrator can make you one, or do for you what you came for")
			return v.show(http.StatusForbidden, "problem", "", "For administrators", v.explain(err, ""))
		}
		return h(v)
	}
}

// listUsers answers GET /users?after=.
func listUsers(v *visit) error {
	list, err := v.user.Users(v.ctx(), v.QueryParam("after"), listLimit)
	if err != nil {
		return err
	}
	p := listPage[control.Account]{Items: list}
	if len(list) == listLimit {
		p.Next = list[len(list)-1].Name
	}
	return v.show(http.StatusOK, "users", "users", "Users", p)
}

// userForm is the form in which a user is made.
type userForm struct {
	Name     string
	Admin    bool
	Limits   []limitField
	Limited  bool // some limit is given
	Reuse    bool
	AskReuse bool // the name is a former user's
	SQL      []string
	Problem  *problem
}

// newUser answers GET /users/new.
func newUser(v *visit) error {
	settings, err := v.user.Settings(v.ctx())
	if err != nil {
		return err
	}
	return v.showUserForm(http.StatusOK, userForm{Limits: limitForm(settings, nil)})
}

func (v *visit) showUserForm(status int, p userForm) error {
	return v.show(status, "new-user", "users", "New user", p)
}

// createUser answers POST /users/new (name, admin, reuse, the limits, do=check|save).
func createUser(v *visit) error {
	settings, err := v.user.Settings(v.ctx())
	if err != nil {
		return err
	}
	p := userForm{Name: strings.TrimSpace(v.FormValue("name")), Admin: v.FormValue("admin") != "", Reuse: v.FormValue("reuse") != "", Limits: limitForm(settings, nil)}
	limits, err := v.readLimits(p.Limits)
	for _, limit := range p.Limits {
		p.Limited = p.Limited || limit.Value != ""
	}
	do := v.FormValue("do")
	if do != "check" && do != "save" {
		return unknownStep(do)
	}
	if do == "check" && p.Name == "" { // while none is typed yet
		p.Problem = v.explain(err, "")
		return v.showUserForm(http.StatusOK, p)
	}
	if err == nil {
		var made control.Change[control.Account]
		made, err = v.user.CreateUser(v.ctx(), p.Name, p.Admin, limits, p.Reuse, do == "check")
		if err == nil && do == "save" {
			return v.back("/user?" + url.Values{"name": {made.Made.Name}, "done": {"user-made"}}.Encode())
		}
		p.SQL = made.SQL
	}
	p.Problem = v.explain(err, "")
	p.AskReuse = p.Reuse || fault.CodeOf(err) == "name_retired"
	return v.showUserForm(p.status(do), p)
}

func (p userForm) status(do string) int {
	if p.Problem == nil || do == "check" {
		return http.StatusOK
	}
	return p.Problem.Status
}

// userPage is one user, as an administrator sees it.
type userPage struct {
	User       control.Account
	Limits     []limitField
	Tokens     []control.Token
	Identities []control.Identity
	SQL        []string // of the limits
	Problem    *problem // with the limits
}

// showUser answers GET /user?name=.
func showUser(v *visit) error {
	p, err := v.userPage(v.QueryParam("name"))
	if err != nil {
		return err
	}
	return v.showUserPage(http.StatusOK, p)
}

func (v *visit) showUserPage(status int, p userPage) error {
	return v.show(status, "user", "users", "User "+p.User.Name, p)
}

func (v *visit) userPage(name string) (p userPage, err error) {
	if p.User, err = v.user.DescribeUser(v.ctx(), name); err != nil {
		return p, err
	}
	settings, err := v.user.Settings(v.ctx())
	if err != nil {
		return p, err
	}
	p.Limits = limitForm(settings, p.User.Limits)
	if p.Tokens, err = v.user.Tokens(v.ctx(), control.APIToken, name, 0, 1000); err != nil {
		return p, err
	}
	p.Identities, err = v.user.Identities(v.ctx(), name)
	return p, err
}

// limitUser answers POST /user/limits (name, the limits, do=check|save).
func limitUser(v *visit) error {
	p, err := v.userPage(v.FormValue("name"))
	if err != nil {
		return err
	}
	do := v.FormValue("do")
	if do != "check" && do != "save" {
		return unknownStep(do)
	}
	limits, err := v.readLimits(p.Limits)
	if err == nil {
		var made control.Change[control.Account]
		made, err = v.user.AlterUser(v.ctx(), p.User.Name, nil, limits, do == "check")
		if err == nil && do == "save" {
			return v.back("/user?" + url.Values{"name": {made.Made.Name}, "done": {"limited"}}.Encode())
		}
		p.SQL = made.SQL
	}
	status := http.StatusOK
	if p.Problem = v.explain(err, ""); p.Problem != nil && do == "save" {
		status = p.Problem.Status
	}
	return v.showUserPage(status, p)
}

// confirmAdmin answers GET /user/admin?name=&admin=true|false.
func confirmAdmin(v *visit) error {
	name, admin := v.QueryParam("name"), v.QueryParam("admin") == "true"
	plan, err := v.user.AlterUser(v.ctx(), name, &admin, control.Limits{}, true)
	p := confirmPage{
		What: "user " + name, Loses: "Administrators make and drop users, give them tokens, change the settings, and see all events and the audit.",
		Verb: "Make " + name + " an administrator", Action: "/user/admin", Fields: map[string]string{"name": name, "admin": strconv.FormatBool(admin)},
		Cancel: "/user?" + url.Values{"name": {name}}.Encode(), Keep: "Do not", SQL: plan.SQL,
	}
	if !admin {
		p.Verb, p.Loses = "Take the administrator's rights of "+name, "The user keeps the workspace, and all in it."
	}
	return v.confirm("users", p, err)
}

// setAdmin answers POST /user/admin (name, admin=true|false).
func setAdmin(v *visit) error {
	admin := v.FormValue("admin") == "true"
	made, err := v.user.AlterUser(v.ctx(), v.FormValue("name"), &admin, control.Limits{}, false)
	if err != nil {
		return err
	}
	done := "admin-taken"
	if admin {
		done = "admin-given"
	}
	return v.back("/user?" + url.Values{"name": {made.Made.Name}, "done": {done}}.Encode())
}

// dropPage asks what becomes of what a user owns.
type dropPage struct {
	Name, Objects, Heir string
	Heirs               []string // to whom it can be given
	Owned               []string // what there is; nil for nothing, or when it is not known
	SQL                 []string
	Problem             *problem
	Dropped             *control.DroppedUser // set afterwards
}

// confirmDropUser answers GET /user/drop?name=.
func confirmDropUser(v *visit) error {
	p := dropPage{Name: v.QueryParam("name"), Objects: control.RefuseObjects}
	v.planDrop(&p)
	return v.showDrop(http.StatusOK, p)
}

func (v *visit) showDrop(status int, p dropPage) error {
	users, err := v.user.Users(v.ctx(), "", 1000)
	if err != nil {
		return err
	}
	for _, each := range users {
		if each.Name != p.Name {
			p.Heirs = append(p.Heirs, each.Name)
		}
	}
	return v.show(status, "drop-user", "users", "Drop "+p.Name, p)
}

// planDrop fills in what the user owns, and what dropping it as chosen would run.
func (v *visit) planDrop(p *dropPage) {
	plan, err := v.user.DropUser(v.ctx(), p.Name, control.RefuseObjects, "", true)
	if e := fault.As(err); e != nil && e.Code == "user_has_objects" {
		p.Owned = texts(e.Fields["objects"])
		err = nil
		switch {
		case p.Objects == control.ReassignObjects && p.Heir == "": // not chosen yet
			return
		case p.Objects != control.RefuseObjects:
			plan, err = v.user.DropUser(v.ctx(), p.Name, p.Objects, p.Heir, true)
		}
	}
	p.SQL, p.Problem = plan.SQL, v.explain(err, "")
}

// dropUser answers POST /user/drop (name, objects, heir, do=check|save), and tells what went.
func dropUser(v *visit) error {
	p := dropPage{Name: v.FormValue("name"), Objects: v.FormValue("objects"), Heir: v.FormValue("heir")}
	if p.Objects != control.ReassignObjects {
		p.Heir = "" // left over from another choice
	}
	switch do := v.FormValue("do"); do {
	case "check":
		v.planDrop(&p)
		return v.showDrop(http.StatusOK, p)
	case "save":
	default:
		return unknownStep(do)
	}
	dropped, err := v.user.DropUser(v.ctx(), p.Name, p.Objects, p.Heir, false)
	if err != nil {
		v.planDrop(&p)
		p.Problem = v.explain(err, "")
		return v.showDrop(p.Problem.Status, p)
	}
	p.Dropped = &dropped.Made
	return v.show(http.StatusOK, "drop-user", "users", "Dropped "+p.Name, p)
}

// confirmUnlink answers GET /user/unlink?name=&issuer=.
func confirmUnlink(v *visit) error {
	name, issuer := v.QueryParam("name"), v.QueryParam("issuer")
	plan, err := v.user.UnlinkIdentity(v.ctx(), name, issuer, true)
	return v.confirm("users", confirmPage{
		What: "user " + name, Loses: "Whoever it is at " + issuer + " comes in as this user no more.", Verb: "Unlink " + name, Action: "/user/unlink",
		Fields: map[string]string{"name": name, "issuer": issuer}, Cancel: "/user?" + url.Values{"name": {name}}.Encode(), Keep: "Keep the link", SQL: plan.SQL,
	}, err)
}

// unlink answers POST /user/unlink (name, issuer).
func unlink(v *visit) error {
	name := v.FormValue("name")
	if _, err := v.user.UnlinkIdentity(v.ctx(), name, v.FormValue("issuer"), false); err != nil {
		return err
	}
	return v.back("/user?" + url.Values{"name": {name}, "done": {"unlinked"}}.Encode())
}
