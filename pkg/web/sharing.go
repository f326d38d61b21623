package web

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
)

// sharing is what a page of a table or view says of its owner and of those it is shared with.
type sharing struct {
	Relation string // as SQL writes it
	Page     string // table or view
	Owner    string
	Mine     bool
	With     []sharedWith // of one's own
	May      []string     // what one may do with another's, in words
	Form     shareForm
}

// MayAdd says whether the visitor may add rows.
func (s sharing) MayAdd() bool { return s.Mine || slices.Contains(s.May, privilegeWords["insert"]) }

// sharedWith is one grantee with what was granted.
type sharedWith struct {
	Grantee string
	Grants  []granted
}

// granted is one privilege. Column is "" where it is for the whole relation.
type granted struct{ Privilege, Words, Column string }

// Takeable says whether it can be taken back by itself: reading goes with all the rest, and columns with the whole.
func (g granted) Takeable() bool {
	return g.Column == "" && (g.Privilege == "insert" || g.Privilege == "update" || g.Privilege == "delete")
}

// privilegeWords say what a privilege lets do; PostgreSQL's others stand for themselves.
var privilegeWords = map[string]string{"select": "read", "insert": "add rows", "update": "change rows", "delete": "delete rows"}

func privilegeWord(privilege string) string {
	if words, ok := privilegeWords[privilege]; ok {
		return words
	}
	return privilege
}

// sharing finds out with whom a relation is shared, or what the visitor may do with another's. page is table or view.
func (v *visit) sharing(relation control.Relation, page string) (sharing, error) {
	s := sharing{Relation: relation.Name, Page: page, Owner: relation.Owner, Mine: relation.Owner == v.user.Role}
	grants, err := v.user.Grants(v.ctx(), relation.Name, "", 1000)
	if err != nil {
		return s, err
	}
	for _, g := range grants {
		one := granted{Privilege: g.Privilege, Words: privilegeWord(g.Privilege)}
		if g.Column != nil {
			one.Column = *g.Column
		}
		if !s.Mine {
			if one.Column == "" && !slices.Contains(s.May, one.Words) {
				s.May = append(s.May, one.Words)
			}
			continue
		}
		if n := len(s.With); n == 0 || s.With[n-1].Grantee != g.Grantee { // they come in the order of the grantee
			s.With = append(s.With, sharedWith{Grantee: g.Grantee})
		}
		last := &s.With[len(s.With)-1]
		if !slices.Contains(last.Grants, one) { // by somebody else too
			last.Grants = append(last.Grants, one)
		}
	}
	if s.Mine {
		s.Form = shareForm{Relation: relation.Name, Page: page, Privilege: "select"}
		s.Form.Others, err = v.otherUsers()
	}
	return s, err
}

// shareForm is the form in which a relation is shared.
type shareForm struct {
	Relation, Page, To, Privilege string
	Others                        []string // users to choose from
	SQL                           []string
	Problem                       *problem
}

// Plain is the relation for reading.
func (p shareForm) Plain() string { return plainName(p.Relation) }

// Back is the relation's own page.
func (p shareForm) Back() string {
	return "/" + p.Page + "?" + url.Values{"name": {p.Relation}}.Encode()
}

// readShare reads the fields that say what is shared, with whom.
func (v *visit) readShare() shareForm {
	p := shareForm{Relation: v.FormValue("relation"), Page: "table", To: strings.TrimSpace(v.FormValue("to")), Privilege: v.FormValue("privilege")}
	if v.FormValue("page") == "view" {
		p.Page = "view"
	}
	return p
}

// share answers POST /share (relation, page, to, privilege, do=check|save).
func share(v *visit) error {
	p := v.readShare()
	do := v.FormValue("do")
	if do != "check" && do != "save" {
		return unknownStep(do)
	}
	var err error
	if do == "save" || p.To != "" { // else nobody is typed yet
		var shared control.Change[control.Shared]
		shared, err = v.user.Share(v.ctx(), p.Relation, p.To, p.Privilege, do == "check")
		if err == nil && do == "save" {
			return v.backTo(p.Back(), "shared")
		}
		p.SQL = shared.SQL
	}
	status := http.StatusOK
	if p.Problem = v.explain(err, ""); p.Problem != nil && do == "save" {
		status = p.Problem.Status
	}
	if p.Others, err = v.otherUsers(); err != nil {
		return err
	}
	return v.show(status, "share", p.Page+"s", "Share "+p.Plain(), p)
}

// confirmUnshare answers GET /unshare?relation=&page=&to=&privilege=.
func confirmUnshare(v *visit) error {
	p := v.readShare()
	plan, err := v.user.Unshare(v.ctx(), p.Relation, p.To, p.Privilege, true)
	loses := p.To + " may not " + privilegeWord(p.Privilege) + " any more."
	if p.Privilege == "all" {
		loses = p.To + " may do nothing with it any more; what " + p.To + " made of it stays, and is not refreshed."
	}
	return v.confirm(p.Page+"s", confirmPage{
		What: p.Page + " " + p.Plain(), Loses: loses, Verb: "Take it back from " + p.To, Action: "/unshare",
		Fields: map[string]string{"relation": p.Relation, "page": p.Page, "to": p.To, "privilege": p.Privilege}, Cancel: p.Back(), Keep: "Keep it shared", SQL: plan.SQL,
	}, err)
}

// unshare answers POST /unshare (relation, page, to, privilege).
func unshare(v *visit) error {
	p := v.readShare()
	change, err := v.user.Unshare(v.ctx(), p.Relation, p.To, p.Privilege, false)
	if err != nil {
		return err
	}
	if len(change.Made.Warnings) > 0 {
		return v.backTo(p.Back(), "unshared-in-part")
	}
	return v.backTo(p.Back(), "unshared")
}

// confirmTrust answers GET /trust?owner=&next=; next is the page that was refused.
func confirmTrust(v *visit) error {
	owner, next := v.QueryParam("owner"), localPath(v.QueryParam("next"))
	if next == "/" {
		next = "/account"
	}
	plan, err := v.user.Trust(v.ctx(), owner, true)
	return v.confirm("account", confirmPage{
		What: "code of " + owner,
		Loses: "Functions, triggers and policies of this owner then run with your rights whenever you read, load into or refresh what they are part of: " +
			"they can read, change and drop whatever you can, and may be changed at any time after you looked at them.",
		Verb: "Trust " + owner, Action: "/trust", Fields: map[string]string{"owner": owner, "next": next}, Cancel: next, Keep: "Do not", SQL: plan.SQL,
	}, err)
}

// trust answers POST /trust (owner, next).
func trust(v *visit) error {
	if _, err := v.user.Trust(v.ctx(), v.FormValue("owner"), false); err != nil {
		return err
	}
	return v.backTo(v.FormValue("next"), "trusted")
}

// confirmUntrust answers GET /trust/remove?owner=.
func confirmUntrust(v *visit) error {
	owner := v.QueryParam("owner")
	plan, err := v.user.Untrust(v.ctx(), owner, true)
	return v.confirm("account", confirmPage{
		What: "code of " + owner, Loses: "Reading, loading and refreshing what holds it will be refused; a schedule that needs it fails, and says so.",
		Verb: "Trust " + owner + " no longer", Action: "/trust/remove", Fields: map[string]string{"owner": owner}, Cancel: "/account", Keep: "Keep the trust", SQL: plan.SQL,
	}, err)
}

// untrust answers POST /trust/remove (owner).
func untrust(v *visit) error {
	if _, err := v.user.Untrust(v.ctx(), v.FormValue("owner"), false); err != nil {
		return err
	}
	return v.back("/account?done=untrusted")
}
