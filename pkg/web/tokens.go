package web

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tinydevcrm/tinydevcrm/pkg/auth"
	"github.com/tinydevcrm/tinydevcrm/pkg/control"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

// tokenPage is the form in which a token is made.
type tokenPage struct {
	subject
	Name          string
	Expires, Date string
	Expiries      []expiry
	ReadOnly      bool
	Scopes        []scope
	SQL           []string
	Problem       *problem
}

// expiry is how long a token may be good. Days is 0 where that is not counted in days.
type expiry struct {
	Value, Words string
	Days         int
}

const (
	never  = "never"
	onDate = "date"
)

var expiries = []expiry{
	{"30", "in 30 days", 30}, {"90", "in 90 days", 90}, {"365", "in a year", 365}, {onDate, "at the end of a day…", 0}, {never, "never", 0},
}

// scope is a group of calls that a token can be narrowed to.
type scope struct {
	Name, Words string
	Chosen      bool
}

// scopes are those of tinydev_lib.scopes().
var scopes = []scope{
	{Name: "tables", Words: "Make, read, add to and drop tables."},
	{Name: "uploads", Words: "Load files, and list what was loaded."},
	{Name: "views", Words: "Make, refresh and read views. A view holds any SQL, so this is as good as your psql."},
	{Name: "jobs", Words: "Schedule views, run and pause jobs, look at runs and cancel them."},
	{Name: "events", Words: "Read and follow events."},
	{Name: "subscriptions", Words: "Have events and rows sent to a URL, an address or a program: all that you may read can leave by it."},
	{Name: "triggers", Words: "Have channels notified of events, for LISTEN."},
	{Name: "sharing", Words: "Share tables and views, and trust owners."},
	{Name: "users", Words: "List users; administrators see the audit."},
	{Name: "tokens", Words: "List tokens."},
	{Name: "settings", Words: "See the settings; administrators change them."},
	{Name: "freshness", Words: "Promise how old tables and views may be."},
	{Name: "doctor", Words: "Ask the doctor what is wrong; administrators have it mend what is safe."},
}

// newToken answers GET /tokens/new?user=.
func newToken(v *visit) error {
	return v.showTokenForm(http.StatusOK, tokenPage{subject: v.subject(), Expires: "90", Scopes: slices.Clone(scopes)})
}

func (v *visit) showTokenForm(status int, p tokenPage) error {
	p.Expiries = expiries
	return v.show(status, "new-token", p.section(), "New token", p)
}

// createToken answers POST /tokens/new (user, name, expires, date, read_only, scope…, do=check|save): 201 with the token, which is shown
// this once and is in no address.
func createToken(v *visit) error {
	p := tokenPage{
		subject: v.subject(), Name: strings.TrimSpace(v.FormValue("name")), Expires: v.FormValue("expires"), Date: v.FormValue("date"),
		ReadOnly: v.FormValue("read_only") != "", Scopes: slices.Clone(scopes),
	}
	wanted := control.NewToken{Name: p.Name, User: p.User, ReadOnly: p.ReadOnly}
	for _, name := range v.Request().Form["scope"] { // FormValue has parsed it
		wanted.Scopes = append(wanted.Scopes, name)
		for i := range p.Scopes {
			p.Scopes[i].Chosen = p.Scopes[i].Chosen || p.Scopes[i].Name == name
		}
	}
	do := v.FormValue("do")
	if do != "check" && do != "save" {
		return unknownStep(do)
	}
	if do == "check" && p.Name == "" { // while none is typed yet
		return v.showTokenForm(http.StatusOK, p)
	}
	var err error
	if wanted.ExpiresAt, err = p.expiresAt(v.now); err == nil {
		token := auth.NewToken()
		sum, prefix := auth.Stored(token)
		var made control.Change[control.MadeToken]
		made, err = v.user.CreateToken(v.ctx(), wanted, sum, prefix, do == "check")
		if err == nil && do == "save" {
			return v.showMadeToken(p, made.Made, token)
		}
		p.SQL = made.SQL
	}
	status := http.StatusOK
	if p.Problem = v.explain(err, ""); p.Problem != nil && do == "save" {
		status = p.Problem.Status
	}
	return v.showTokenForm(status, p)
}

// expiresAt gives when the token expires; nil is never. Errors: invalid form_invalid.
func (p tokenPage) expiresAt(now time.Time) (*time.Time, error) {
	for _, each := range expiries {
		switch {
		case each.Value != p.Expires:
			continue
		case each.Value == never:
			return nil, nil
		case each.Value == onDate:
			day, err := time.Parse(time.DateOnly, p.Date)
			if err != nil {
				return nil, fault.New(fault.Invalid, "form_invalid", "%q is not a date", p.Date).WithHint("write it as 2026-01-31")
			}
			at := day.AddDate(0, 0, 1)
			return &at, nil
		default:
			at := now.AddDate(0, 0, each.Days).Truncate(time.Minute).Add(time.Minute)
			return &at, nil
		}
	}
	return nil, fault.New(fault.Invalid, "form_invalid", "it was not chosen when the token expires").WithHint("choose one of those offered")
}

// madeToken shows a token this once.
type madeToken struct {
	subject
	Name, Token, Says, Curl string
}

func (v *visit) showMadeToken(p tokenPage, made control.MadeToken, token string) error {
	m := madeToken{subject: p.subject, Name: made.Name, Token: token, Says: "It does not expire."}
	if made.ExpiresAt != nil {
		m.Says = "It expires " + ago(v.now, *made.ExpiresAt) + ", at " + stamp(*made.ExpiresAt) + "."
	}
	list := "tables"
	if len(made.Scopes) > 0 && !slices.Contains(made.Scopes, list) {
		list = made.Scopes[0]
	}
	if list == "sharing" {
		list = "grants"
	}
	m.Curl = "curl -H 'Authorization: Bearer " + token + "' " + shellWord(v.Scheme()+"://"+v.Request().Host+"/v1/"+list)
	return v.show(http.StatusCreated, "made-token", p.section(), "New token", m)
}

// confirmRevoke answers GET /tokens/revoke?id=&user=; user is whose it is, for the way back.
func confirmRevoke(v *visit) error {
	id, err := v.tokenID()
	if err != nil {
		return err
	}
	who := v.subject()
	plan, err := v.user.RevokeToken(v.ctx(), id, true)
	p := confirmPage{
		What: "token " + v.QueryParam("name"), Loses: "What uses it is refused within seconds, and the pages that were opened with it are signed out.", Verb: "Revoke the token",
		Action: "/tokens/revoke", Fields: map[string]string{"id": strconv.FormatInt(id, 10), "user": who.User}, Cancel: who.Cancel, SQL: plan.SQL,
	}
	if v.QueryParam("kind") == control.PageSession {
		p.What, p.Verb, p.Loses = "browser that signed in with "+v.QueryParam("name"), "Sign the browser out", "Its pages ask for a token again."
	}
	return v.confirm(who.section(), p, err)
}

// revokeToken answers POST /tokens/revoke (id, user).
func revokeToken(v *visit) error {
	id, err := v.tokenID()
	if err != nil {
		return err
	}
	if _, err := v.user.RevokeToken(v.ctx(), id, false); err != nil {
		return err
	}
	return v.backTo(v.subject().Cancel, "token-revoked")
}

func (v *visit) tokenID() (int64, error) {
	id, err := strconv.ParseInt(v.FormValue("id"), 10, 64)
	if err != nil {
		return 0, fault.New(fault.NotFound, "token_not_found", "there is no token %q", v.FormValue("id")).WithHint("see the list of tokens")
	}
	return id, nil
}

// backTo is back with the word for what was done.
func (v *visit) backTo(place, done string) error {
	at, err := url.Parse(localPath(place))
	if err != nil {
		return v.back("/?" + url.Values{"done": {done}}.Encode())
	}
	query := at.Query()
	query.Set("done", done)
	at.RawQuery = query.Encode()
	return v.back(at.String())
}
