package web

import (
	"context"
	"encoding/json"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
	"github.com/tinydevcrm/tinydevcrm/pkg/deliver"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

// subscriptionForm is the form in which a subscription is made or changed. Lengths of time are as span writes them.
type subscriptionForm struct {
	Old *subscribed // what is changed; nil for a new one

	Name, Kind              string
	URL, Addresses, Command string // the target, by kind
	Target                  string // of other kinds
	Kinds                   []kindChoice
	Commands                []string // that the owner may have run

	Types         []typeGroup
	OtherTypes    string // separated by blanks or commas
	Relations     []pick
	OtherSubjects string // one a line
	Workspace     string // the visitor's, as SQL writes it
	Condition     string
	Attach        string
	AttachRows    string
	Attachable    []pick

	Subject, Body string // templates of e-mail
	Chart         bool
	Digest        string

	Rearm, RearmEvery          string
	Timeout, Retry, PauseAfter string
	Secret                     string
	MadeSecret                 string // that a test was signed by, and the subscription gets when Secret is ""

	Partial bool // only a block of the page is asked for, and so says what is wrong with which field
	SQL     []string
	Test    *testResult
	Problem *problem
}

// kindChoice is a kind of subscription. Missing says why no server delivers to it; "" when one does.
type kindChoice struct {
	Name, Words, Hint, Missing string
	Known                      bool // the form has fields for it
}

// kindChoices are the kinds that the form knows.
var kindChoices = []kindChoice{
	{Name: "webhook", Words: "Webhook", Hint: "A signed POST to a URL, an event each.", Known: true, Missing: "The server sends no webhooks."},
	{Name: "email", Words: "E-mail", Hint: "Messages to people, with rows or a chart when you want.", Known: true,
		Missing: "The server sends no e-mail: who runs it sets TINYDEV_SMTP_URL and TINYDEV_SMTP_FROM."},
	{Name: "command", Words: "Command", Hint: "A program on the server, with the event as its input.", Known: true,
		Missing: "You may have no program run: who runs the server names some in TINYDEV_COMMANDS."},
}

// typeGroup are the types of events about one sort of thing.
type typeGroup struct {
	Noun  string
	Types []pick
}

// pick is something that can be chosen. Words say it shorter than Value, where that is needed.
type pick struct {
	Value, Words, Title string
	Chosen              bool
}

// What the form has at first, which is what tinydev.create_subscription takes for granted.
var usualRetries = []int{5, 30, 120, 600, 1800, 3600, 10800, 21600, 43200}

const (
	usualTimeout    = 30
	usualPauseAfter = 43200
	usualRows       = 100
	noDigest        = "each by itself"
)

// conditionExamples are offered where a condition is typed.
var conditionExamples = []pick{
	{Value: "not empty", Title: "it left rows in the view"},
	{Value: "changed", Title: "it changed something, or that is not known"},
	{Value: "$.duration_ms > 60000", Title: "it took more than a minute"},
	{Value: `$.sqlstate starts with "22"`, Title: "it failed by bad data"},
}

// Conditions are examples of conditions.
func (p subscriptionForm) Conditions() []pick { return conditionExamples }

// Has says whether the form has the fields of a kind: a new subscription may become any.
func (p subscriptionForm) Has(kind string) bool { return p.Old == nil || p.Kind == kind }

// OtherTarget says whether the target may be that of a kind which the form knows only by name.
func (p subscriptionForm) OtherTarget() bool {
	if p.Old != nil {
		return p.targetField() == "target"
	}
	return slices.ContainsFunc(p.Kinds, func(k kindChoice) bool { return !k.Known })
}

// Advanced says whether something that few change is not as usual, or wrong.
func (p subscriptionForm) Advanced() bool {
	fields := []string{"timeout_seconds", "retry_seconds", "pause_after_seconds", "secret"}
	return p.Timeout != span(usualTimeout) || p.Retry != spans(usualRetries) || p.PauseAfter != span(usualPauseAfter) || p.Secret != "" ||
		p.Problem != nil && slices.Contains(fields, p.Problem.Field)
}

// target gives where the subscription sends to.
func (p subscriptionForm) target() string {
	switch p.Kind {
	case "webhook":
		return p.URL
	case "email":
		return p.Addresses
	case "command":
		return p.Command
	}
	return p.Target
}

// targetField names the field of the target.
func (p subscriptionForm) targetField() string {
	if field, ok := map[string]string{"webhook": "url", "email": "addresses", "command": "command"}[p.Kind]; ok {
		return field
	}
	return "target"
}

// newSubscription answers GET /subscriptions/new?kind=&type=&subject=.
func newSubscription(v *visit) error {
	p := subscriptionForm{Kind: "webhook", Rearm: "each", Timeout: span(usualTimeout), Retry: spans(usualRetries), PauseAfter: span(usualPauseAfter),
		AttachRows: strconv.Itoa(usualRows), Digest: noDigest}
	if kind := v.QueryParam("kind"); kind != "" {
		p.Kind = kind
	}
	query := v.QueryParams()
	return v.showSubscriptionForm(http.StatusOK, &p, query["type"], query["subject"])
}

// editSubscription answers GET /subscription/edit?name=.
func editSubscription(v *visit) error {
	found, err := v.user.DescribeSubscription(v.ctx(), v.QueryParam("name"))
	if err != nil {
		return err
	}
	s := v.subscribed(found)
	p := subscriptionForm{Old: &s, Name: s.Name, Kind: s.Kind, URL: s.Target, Addresses: s.Target, Command: s.Target, Target: s.Target, Rearm: s.Rearm,
		Timeout: span(s.TimeoutSeconds), Retry: spans(s.RetrySeconds), PauseAfter: span(s.PauseAfterSeconds), AttachRows: strconv.Itoa(s.AttachRows), Digest: noDigest}
	if s.Condition != nil {
		p.Condition = *s.Condition
	}
	if s.Attach != nil {
		p.Attach = *s.Attach
	}
	if s.RearmSeconds != nil {
		p.RearmEvery = span(*s.RearmSeconds)
	}
	if s.DigestSeconds > 0 {
		p.Digest = span(s.DigestSeconds)
	}
	o := readMailOptions(s.Options)
	p.Subject, p.Body, p.Chart = o.Subject, o.Body, o.Chart != ""
	return v.showSubscriptionForm(http.StatusOK, &p, shortTypes(s.Types), s.Subjects)
}

// shortTypes are types without the prefix.
func shortTypes(types []string) []string {
	short := make([]string, len(types))
	for i, t := range types {
		short[i] = strings.TrimPrefix(t, "tinydev.")
	}
	return short
}

// mailOptions are the options of the kind email.
type mailOptions struct {
	Subject string `json:"subject,omitempty"`
	Body    string `json:"body,omitempty"`
	Chart   string `json:"chart,omitempty"`
}

// readMailOptions reads options; what cannot be read counts as missing.
func readMailOptions(options json.RawMessage) (o mailOptions) {
	_ = json.Unmarshal(options, &o)
	return o
}

// showSubscriptionForm fills in what there is to choose from.
func (v *visit) showSubscriptionForm(status int, p *subscriptionForm, types, subjects []string) error {
	p.Partial = v.partial()
	p.Workspace = quoteWhereNeeded(v.user.Role)
	owner := v.user.Role
	if p.Old != nil {
		owner = p.Old.Owner
	}
	reach, err := v.user.Reach(v.ctx(), owner)
	if err != nil {
		return err
	}
	p.Commands = reach.Commands
	p.Kinds = kindsOf(reach)
	p.Types, p.OtherTypes = groupTypes(types)
	if p.Relations, err = v.relationPicks(); err != nil {
		return err
	}
	p.Attachable = slices.Clone(p.Relations)
	if p.Attach != "" && !choose(p.Attachable, p.Attach) {
		p.Attachable = append(p.Attachable, pick{Value: p.Attach, Chosen: true})
	}
	var others []string
	for _, subject := range subjects {
		if !choose(p.Relations, subject) {
			others = append(others, subject)
		}
	}
	p.OtherSubjects = strings.Join(others, "\n")
	title := "New subscription"
	if p.Old != nil {
		title = "Change " + p.Old.Name
	}
	return v.show(status, "subscription-form", "events", title, p)
}

// kindsOf are the kinds that the form knows and those that servers have besides.
func kindsOf(reach control.Reach) []kindChoice {
	kinds := slices.Clone(kindChoices)
	for i := range kinds {
		served := slices.Contains(reach.Kinds, kinds[i].Name) && (kinds[i].Name != "command" || len(reach.Commands) > 0)
		switch {
		case served:
			kinds[i].Missing = ""
		case reach.Servers == 0 && kinds[i].Name != "command":
			kinds[i].Missing = "No server is up to deliver at the moment."
		}
	}
	for _, name := range reach.Kinds {
		if !slices.ContainsFunc(kinds, func(k kindChoice) bool { return k.Name == name }) {
			kinds = append(kinds, kindChoice{Name: name, Words: name})
		}
	}
	return kinds
}

// groupTypes gives the types that there are, by noun and with the pattern of all of them, and what is chosen besides.
func groupTypes(chosen []string) (groups []typeGroup, others string) {
	for _, t := range control.EventTypes() {
		name := strings.TrimPrefix(t.Type, "tinydev.")
		noun, verb, _ := strings.Cut(name, ".")
		if n := len(groups); n == 0 || groups[n-1].Noun != noun {
			groups = append(groups, typeGroup{Noun: noun, Types: []pick{{Value: noun + ".*", Words: "all", Title: "All of these."}}})
		}
		last := &groups[len(groups)-1]
		last.Types = append(last.Types, pick{Value: name, Words: verb, Title: t.When})
	}
	var rest []string
	for _, t := range chosen {
		if !slices.ContainsFunc(groups, func(g typeGroup) bool { return choose(g.Types, t) }) {
			rest = append(rest, t)
		}
	}
	return groups, strings.Join(rest, ", ")
}

// choose marks a value among picks; false when it is not there.
func choose(picks []pick, value string) bool {
	i := slices.IndexFunc(picks, func(p pick) bool { return p.Value == value })
	if i >= 0 {
		picks[i].Chosen = true
	}
	return i >= 0
}

// relationPicks are the views and tables that the visitor may read, as many as one page of a list has of each.
func (v *visit) relationPicks() ([]pick, error) {
	var picks []pick
	for _, kind := range []string{control.Views, control.Tables} {
		relations, err := v.user.Relations(v.ctx(), kind, "", listLimit)
		if err != nil {
			return nil, err
		}
		for _, r := range relations {
			picks = append(picks, pick{Value: r.Name})
		}
	}
	return picks, nil
}

// readSubscriptionForm reads what was sent: the form, and the types and subjects that are chosen in it, empty and not nil when none are: nil changes nothing.
func (v *visit) readSubscriptionForm() (p subscriptionForm, types, subjects []string) {
	text := func(name string) string { return strings.TrimSpace(v.FormValue(name)) }
	lines := func(name string) string { return strings.ReplaceAll(v.FormValue(name), "\r\n", "\n") }
	p = subscriptionForm{
		Name: text("name"), Kind: text("kind"), URL: text("url"), Addresses: text("addresses"), Command: text("command"), Target: text("target"),
		Condition: text("condition"), Attach: text("attach"), AttachRows: text("attach_rows"), Subject: text("subject_template"), Body: lines("body"), Chart: text("chart") != "",
		Digest: text("digest_seconds"), Rearm: text("rearm"), RearmEvery: text("rearm_seconds"), Timeout: text("timeout_seconds"), Retry: text("retry_seconds"),
		PauseAfter: text("pause_after_seconds"), Secret: text("secret"), MadeSecret: text("made_secret"),
	}
	form := v.Request().Form // FormValue has parsed it
	types = append(slices.Clone(form["type"]), splitTypes(v.FormValue("other_types"))...)
	subjects = append([]string{}, form["subject"]...)
	for line := range strings.Lines(lines("other_subjects")) {
		if line = strings.TrimSpace(line); line != "" {
			subjects = append(subjects, line)
		}
	}
	return p, types, subjects
}

// splitTypes reads types with blanks or commas between them.
func splitTypes(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(", \t\r\n;", r) })
}

// change gives all that the form says, but for what the kind does not have. Errors: invalid form_invalid, with the field.
func (p *subscriptionForm) change(types, subjects []string) (c control.SubscriptionChange, err error) {
	seconds := func(into **int, field, text string) {
		n, failed := parseSpan(field, text)
		if *into = &n; err == nil {
			err = failed
		}
	}
	c = control.SubscriptionChange{Types: &types, Subjects: &subjects, Condition: &p.Condition, Attach: &p.Attach, Rearm: &p.Rearm}
	if p.Attach != "" {
		rows, failed := strconv.Atoi(p.AttachRows)
		if failed != nil {
			err = fault.New(fault.Invalid, "form_invalid", "%q is no number of rows", p.AttachRows).WithHint("write 1 to 1000").With("field", "attach_rows")
		}
		c.AttachRows = &rows
	}
	if p.Rearm == "every" {
		seconds(&c.RearmSeconds, "rearm_seconds", p.RearmEvery)
	}
	seconds(&c.TimeoutSeconds, "timeout_seconds", p.Timeout)
	seconds(&c.PauseAfterSeconds, "pause_after_seconds", p.PauseAfter)
	retries, failed := parseSpans("retry_seconds", p.Retry)
	if c.RetrySeconds = &retries; err == nil {
		err = failed
	}
	if p.Kind != "email" {
		return c, err
	}
	c.DigestSeconds = new(int)
	if p.Digest != "" && p.Digest != noDigest {
		seconds(&c.DigestSeconds, "digest_seconds", p.Digest)
	}
	o := mailOptions{Subject: p.Subject, Body: p.Body}
	if strings.TrimSpace(o.Body) == "" {
		o.Body = ""
	}
	if p.Chart {
		o.Chart = "bar"
	}
	if c.Options, failed = json.Marshal(o); err == nil {
		err = failed
	}
	return c, err
}

// since leaves of a change only what differs from what there is.
func since(c control.SubscriptionChange, old control.Subscription) control.SubscriptionChange {
	unless(&c.Types, sorted(shortTypes(old.Types)), sorted)
	unless(&c.Subjects, sorted(old.Subjects), sorted)
	unless(&c.Condition, orEmpty(old.Condition), same)
	unless(&c.Attach, orEmpty(old.Attach), same)
	unless(&c.AttachRows, old.AttachRows, same)
	unless(&c.Rearm, old.Rearm, same)
	if old.RearmSeconds != nil && c.Rearm == nil {
		unless(&c.RearmSeconds, *old.RearmSeconds, same)
	}
	unless(&c.DigestSeconds, old.DigestSeconds, same)
	unless(&c.TimeoutSeconds, old.TimeoutSeconds, same)
	unless(&c.RetrySeconds, old.RetrySeconds, same)
	unless(&c.PauseAfterSeconds, old.PauseAfterSeconds, same)
	if c.Options != nil && readMailOptions(c.Options) == readMailOptions(old.Options) {
		c.Options = nil
	}
	return c
}

// unless forgets a field that is as it was, when form gives the same of both.
func unless[T any](field **T, was T, form func(T) T) {
	if *field != nil && reflect.DeepEqual(form(**field), was) {
		*field = nil
	}
}

func same[T any](value T) T { return value }

// sorted gives each text once, in order; never nil.
func sorted(list []string) []string {
	out := append([]string{}, list...)
	slices.Sort(out)
	return slices.Compact(out)
}

func orEmpty(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}

// createSubscription answers POST /subscriptions/new (the fields, do=check|test|save). A webhook is answered with 201 and its secret,
// which is shown this once and is in no address.
func createSubscription(v *visit) error {
	p, types, subjects := v.readSubscriptionForm()
	change, err := p.change(types, subjects)
	made := control.NewSubscription{Name: p.Name, Kind: p.Kind, Target: p.target(), Secret: p.Secret, SubscriptionChange: change}
	do := v.FormValue("do")
	switch {
	case p.Kind != "webhook":
		made.Secret = ""
	case p.Secret == "" && do == "save":
		made.Secret = p.MadeSecret
	}
	if do != "save" && made.Name == "" {
		made.Name = "new" // while none is typed yet
	}
	if err == nil {
		var done control.Change[control.Subscription]
		done, err = v.user.CreateSubscription(v.ctx(), made, do != "save")
		if e := fault.As(err); do == "test" && e != nil && (e.Fields["field"] == "name" || e.Code == "subscription_name_taken") {
			made.Name = "new-" + strconv.FormatInt(time.Now().UnixNano(), 36) // a test needs no name, right or wrong
			_, err = v.user.CreateSubscription(v.ctx(), made, true)
		}
		if err == nil && do == "save" {
			return v.createdSubscription(done.Made)
		}
		p.SQL = done.SQL
	}
	return v.endSubscriptionForm(&p, do, made.Name, change, types, subjects, err)
}

// createdSubscription leads on from a subscription that was just made.
func (v *visit) createdSubscription(made control.Subscription) error {
	s := v.subscribed(made)
	if made.Secret == "" {
		return v.back(s.Place("done", "subscribed"))
	}
	return v.show(http.StatusCreated, "made-subscription", "events", "Subscription "+s.Name, madeSubscription{S: s, Secret: made.Secret, Warnings: made.Warnings})
}

// changeSubscription answers POST /subscription/edit (name, and the fields of the kind, do=check|test|save); only what differs is changed.
func changeSubscription(v *visit) error {
	p, types, subjects := v.readSubscriptionForm()
	found, err := v.user.DescribeSubscription(v.ctx(), p.Name)
	if err != nil {
		return err
	}
	old := v.subscribed(found)
	p.Old, p.Name, p.Kind = &old, old.Name, old.Kind
	do := v.FormValue("do")
	whole, err := p.change(types, subjects)
	change := since(whole, old.Subscription)
	var target *string
	if to := p.target(); to != old.Target {
		target = &to
	}
	if err == nil && (target != nil || !reflect.DeepEqual(change, control.SubscriptionChange{})) {
		var done control.Change[control.Subscription]
		done, err = v.user.AlterSubscription(v.ctx(), old.Full, target, change, nil, do != "save")
		p.SQL = done.SQL
	}
	if err == nil && do == "save" {
		return v.back(old.Place("done", "subscription-changed"))
	}
	return v.endSubscriptionForm(&p, do, old.Name, whole, types, subjects, err)
}

// endSubscriptionForm shows the form again: with what is wrong, with what it would do, or with how the test went.
func (v *visit) endSubscriptionForm(p *subscriptionForm, do, name string, change control.SubscriptionChange, types, subjects []string, err error) error {
	status := http.StatusOK
	switch do {
	case "check":
	case "save":
		if err != nil {
			status = fault.KindOf(err).Status()
		}
	case "test":
		if err == nil {
			p.Test, err = v.tryTarget(p, name, change)
		}
	default:
		return unknownStep(do)
	}
	if p.Problem = v.explain(err, ""); p.Problem != nil {
		p.place(fault.As(err))
		if do == "check" && v.FormValue(p.Problem.Field) == "" && slices.Contains([]string{"name", p.targetField(), "rearm_seconds"}, p.Problem.Field) {
			p.Problem = nil // while nothing is typed there yet
		}
	}
	return v.showSubscriptionForm(status, p, types, subjects)
}

// place says which field of the form a problem is about; "" for none of them.
func (p *subscriptionForm) place(e *fault.Error) {
	switch field := p.Problem.Field; {
	case e == nil:
	case field == "target":
		p.Problem.Field = p.targetField()
	case field == "options":
		option, _ := e.Fields["option"].(string)
		p.Problem.Field = map[string]string{"subject": "subject_template", "body": "body"}[option]
	case field != "":
	case e.Code == "subscription_name_taken":
		p.Problem.Field = "name"
	case e.Code == "relation_not_found", e.Code == "foreign_code":
		p.Problem.Field = "attach"
	}
}

// testResult is how an attempt before saving went.
type testResult struct {
	deliver.Outcome
	Took   time.Duration
	Signed bool // with a secret that was made for it
}

// Delivered says whether the target took it.
func (t testResult) Delivered() bool { return t.State == deliver.Delivered }

// longestTest bounds an attempt that somebody waits for.
const longestTest = 30 * time.Second

// tryTarget sends a sample to the target that is in the form.
func (v *visit) tryTarget(p *subscriptionForm, name string, change control.SubscriptionChange) (*testResult, error) {
	limit := longestTest
	if change.TimeoutSeconds != nil {
		limit = min(limit, time.Duration(*change.TimeoutSeconds)*time.Second)
	}
	ctx, cancel := context.WithTimeout(v.ctx(), limit)
	defer cancel()
	s := deliver.Subscription{Owner: v.user.Role, Name: name, Target: p.target(), Options: change.Options}
	if p.Old != nil {
		s.Owner = p.Old.Owner
	}
	result := testResult{}
	if p.Kind == "webhook" {
		s.Secrets = []string{p.Secret}
		if p.Secret == "" || p.Old != nil {
			if p.MadeSecret == "" || p.Old != nil {
				p.MadeSecret = control.NewWebhookSecret()
			}
			s.Secrets, result.Signed = []string{p.MadeSecret}, true
		}
	}
	var err error
	if result.Outcome, result.Took, err = v.web.options.Deliverer.Try(ctx, s, p.Kind); err != nil {
		return nil, err
	}
	return &result, nil
}
