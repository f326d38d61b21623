package web

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

// noticesName is the subscription that each user has from the beginning.
const noticesName = "notices"

// subscribed is a subscription as pages show it.
type subscribed struct {
	control.Subscription
	Full string // what it is found by: its name, of another's with the owner before it
	Mine bool
}

func (v *visit) subscribed(s control.Subscription) subscribed {
	shown := subscribed{Subscription: s, Full: s.Name, Mine: s.Owner == v.user.Role}
	if !shown.Mine {
		shown.Full = s.Owner + "." + s.Name
	}
	return shown
}

// light says in a word or two how a subscription is.
type light struct {
	Class string // of a tag: good, warn, bad
	Words string
	Since *time.Time
}

// Light is the subscription's state.
func (s subscribed) Light() light {
	switch s.Reason() {
	case "user":
		return light{"warn", "paused", s.PausedAt}
	case "failing":
		return light{"bad", "paused: it failed for too long", s.PausedAt}
	case "gone":
		return light{"bad", "paused: the target wants no more", s.PausedAt}
	case "unsubscribed":
		return light{"warn", "paused: its reader ended it", s.PausedAt}
	case "no_target":
		return light{Class: "warn", Words: "waits for an address"}
	}
	switch {
	case s.FailingSince != nil:
		return light{"bad", "failing", s.FailingSince}
	case s.Server == nil:
		return light{Class: "warn", Words: "waits for a server"}
	}
	return light{Class: "good", Words: "delivering"}
}

// Missing is what no server that is up has for it; "" when one can deliver.
func (s subscribed) Missing() string { return orEmpty(s.Unserved) }

// Held says whether a server delivers it at the moment.
func (s subscribed) Held() bool { return s.Active && s.Server != nil }

// Reason is why it is paused; "" when it is not.
func (s subscribed) Reason() string { return orEmpty(s.PauseReason) }

// NoTarget says whether it waits for its owner to say where to.
func (s subscribed) NoTarget() bool { return s.Target == "" }

// IsNotices says whether it is the one that each user has from the beginning.
func (s subscribed) IsNotices() bool { return s.Name == noticesName && s.Kind == "email" }

// Lag is how many events it has still to deal with.
func (s subscribed) Lag() int64 { return s.Behind }

// Open says whether something is under way, so that a page which shows it soon shows the past.
func (s subscribed) Open() bool {
	return s.Active && (s.Server == nil || s.Lag() > 0 || s.Pending+s.Failing > 0)
}

// Filter tells in words what it is sent.
func (s subscribed) Filter() string {
	words := "all events"
	if len(s.Types) > 0 {
		types := make([]string, len(s.Types))
		for i, t := range s.Types {
			types[i] = strings.TrimPrefix(t, "tinydev.")
		}
		words = strings.Join(types, ", ")
	}
	if len(s.Subjects) > 0 {
		subjects := make([]string, len(s.Subjects))
		for i, subject := range s.Subjects {
			subjects[i] = plainName(subject)
		}
		words += " of " + strings.Join(subjects, ", ")
	}
	if s.Condition != nil {
		words += " where " + *s.Condition
	}
	switch s.Rearm {
	case "once":
		words += "; of trouble the first and the recovery"
	case "every":
		if s.RearmSeconds != nil {
			words += "; of trouble the first, again every " + span(*s.RearmSeconds) + ", and the recovery"
		}
	}
	return words
}

// subscriptionsPage lists subscriptions.
type subscriptionsPage struct {
	Items   []subscribed
	Owners  bool        // some are another's
	Notices *subscribed // waits for an address; nil when it does not, or is none
	Mail    bool        // e-mail can be sent
	Next    string
}

// listSubscriptions answers GET /subscriptions?after=.
func listSubscriptions(v *visit) error {
	after, _ := strconv.ParseInt(v.QueryParam("after"), 10, 64) // a bad number starts at the front
	list, err := v.user.Subscriptions(v.ctx(), after, listLimit)
	if err != nil {
		return err
	}
	var p subscriptionsPage
	for _, each := range list {
		s := v.subscribed(each)
		p.Items = append(p.Items, s)
		p.Owners = p.Owners || !s.Mine
		if s.Mine && s.IsNotices() && s.NoTarget() {
			p.Notices = &s
		}
	}
	if len(list) == listLimit {
		p.Next = strconv.FormatInt(list[len(list)-1].SubscriptionID, 10)
	}
	if p.Notices != nil {
		if p.Mail, err = v.sends("email"); err != nil {
			return err
		}
	}
	return v.show(http.StatusOK, "subscriptions", "events", "Subscriptions", p)
}

// sends says whether a server that is up sends a kind.
func (v *visit) sends(kind string) (bool, error) {
	reach, err := v.user.Reach(v.ctx(), v.user.Role)
	return slices.Contains(reach.Kinds, kind), err
}

// untold says that nobody is told when the visitor's jobs fail.
type untold struct {
	Mail   bool // an address is all that is missing
	Failed bool // and a job failed
}

// untold is nil when the visitor has no jobs, is told, or wants it so. Where no e-mail can be sent only a failure is worth the words.
func (v *visit) untold(jobs []control.Job) (*untold, error) {
	var u untold
	scheduled := false
	for _, job := range jobs {
		if job.Owner == v.user.Role && job.IsManaged {
			scheduled = true
			u.Failed = u.Failed || job.LastRun != nil && job.LastRun.Status == "failed"
		}
	}
	if !scheduled {
		return nil, nil
	}
	notices, err := v.user.DescribeSubscription(v.ctx(), noticesName)
	if fault.KindOf(err) == fault.NotFound || err == nil && !v.subscribed(notices).NoTarget() {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if u.Mail, err = v.sends("email"); err != nil || u.Mail {
		return &u, err
	}
	if !u.Failed {
		return nil, nil
	}
	others, err := v.user.Subscriptions(v.ctx(), 0, 1000)
	if err != nil || slices.ContainsFunc(others, func(s control.Subscription) bool { return s.Active && s.Owner == v.user.Role }) {
		return nil, err
	}
	return &u, nil
}

// subscriptionPage is one subscription with what it was sent.
type subscriptionPage struct {
	S          subscribed
	Deliveries deliveryList
	SQL        []string
	Address    string // that was typed
	Problem    *problem
}

// showSubscription answers GET /subscription?name=&state=&before=&test=&since=; test is the event of a test that was asked for, which
// comes after the position since.
func showSubscription(v *visit) error {
	p, err := v.subscriptionPage(v.QueryParam("name"))
	if err != nil {
		return err
	}
	return v.showSubscription(http.StatusOK, p)
}

func (v *visit) showSubscription(status int, p subscriptionPage) error {
	return v.show(status, "subscription", "events", "Subscription "+p.S.Name, p)
}

func (v *visit) subscriptionPage(name string) (p subscriptionPage, err error) {
	found, err := v.user.DescribeSubscription(v.ctx(), name)
	if err != nil {
		return p, err
	}
	p.S = v.subscribed(found)
	if p.Deliveries, err = v.deliveries(p.S); err != nil || p.S.NoTarget() {
		return p, err
	}
	if p.S.Active {
		test, err := v.user.TestSubscription(v.ctx(), p.S.Full, true)
		if err != nil {
			return p, err
		}
		p.SQL = test.SQL
	}
	active := !p.S.Active
	plan, err := v.user.AlterSubscription(v.ctx(), p.S.Full, nil, control.SubscriptionChange{}, &active, true)
	if err != nil { // it is as it was made, under what held then; the rest of the page is worth seeing
		p.Problem = v.explain(err, "")
		return p, nil
	}
	p.SQL = append(p.SQL, plan.SQL...)
	return p, nil
}

// Place is the page of a subscription; more are further fields of the address, each with its value.
func (s subscribed) Place(more ...string) string {
	query := url.Values{"name": {s.Full}}
	for i := 0; i < len(more); i += 2 {
		query.Set(more[i], more[i+1])
	}
	return "/subscription?" + query.Encode()
}

// failSubscription shows the subscription with what kept a change from it.
func (v *visit) failSubscription(name string, failed error) error {
	p, err := v.subscriptionPage(name)
	if err != nil {
		return err
	}
	p.Address = strings.TrimSpace(v.FormValue("target"))
	p.Problem = v.explain(failed, "")
	return v.showSubscription(p.Problem.Status, p)
}

// setSubscriptionActive answers POST /subscription/active (name, active=true|false).
func setSubscriptionActive(v *visit) error {
	name, active := v.FormValue("name"), v.FormValue("active") == "true"
	changed, err := v.user.AlterSubscription(v.ctx(), name, nil, control.SubscriptionChange{}, &active, false)
	if err != nil {
		return v.failSubscription(name, err)
	}
	done := "subscription-paused"
	if active {
		done = "subscription-resumed"
	}
	return v.back(v.subscribed(changed.Made).Place("done", done))
}

// setAddress answers POST /subscription/address (name, target): a subscription that waits for an address gets it, and begins.
func setAddress(v *visit) error {
	name, target := v.FormValue("name"), strings.TrimSpace(v.FormValue("target"))
	changed, err := v.user.AlterSubscription(v.ctx(), name, &target, control.SubscriptionChange{}, nil, false)
	if err != nil {
		return v.failSubscription(name, err)
	}
	return v.back(v.subscribed(changed.Made).Place("done", "address-set"))
}

// testSubscription answers POST /subscription/test (name).
func testSubscription(v *visit) error {
	name := v.FormValue("name")
	before, err := v.user.LatestEvents(v.ctx(), 1, control.EventFilter{})
	if err != nil {
		return err
	}
	tested, err := v.user.TestSubscription(v.ctx(), name, false)
	if err != nil {
		return v.failSubscription(name, err)
	}
	s := v.subscribed(control.Subscription{Owner: tested.Made.Owner, Name: tested.Made.Name})
	return v.back(s.Place("test", strconv.FormatInt(tested.Made.EventID, 10), "since", strconv.FormatInt(before.Head, 10)))
}

// confirmDropSubscription answers GET /subscription/drop?name=.
func confirmDropSubscription(v *visit) error {
	found, err := v.user.DescribeSubscription(v.ctx(), v.QueryParam("name"))
	if err != nil {
		return err
	}
	s := v.subscribed(found)
	plan, err := v.user.DropSubscription(v.ctx(), s.Full, true)
	loses := "Its log of deliveries goes with it, and what waits is not sent."
	if waiting := s.Pending + s.Failing; waiting > 0 {
		loses = fmt.Sprintf("Its log of deliveries goes with it, and what waits (%s) is not sent.", atMost(waiting))
	}
	return v.confirm("events", confirmPage{
		What: "subscription " + s.Full, Loses: loses, Verb: "Drop the subscription",
		Action: "/subscription/drop", Fields: map[string]string{"name": s.Full}, Cancel: s.Place(), SQL: plan.SQL,
	}, err)
}

// dropSubscription answers POST /subscription/drop (name).
func dropSubscription(v *visit) error {
	if _, err := v.user.DropSubscription(v.ctx(), v.FormValue("name"), false); err != nil {
		return err
	}
	return v.back("/subscriptions?done=dropped")
}

// secretPage asks for how long the secret before signs too.
type secretPage struct {
	S       subscribed
	Keep    string
	Keeps   []keep
	SQL     []string
	Problem *problem
}

type keep struct{ Value, Words string }

var keeps = []keep{{"86400", "for a day"}, {"3600", "for an hour"}, {"604800", "for a week"}, {"2592000", "for 30 days"}, {"0", "no more: it has leaked"}}

// newSecret answers GET /subscription/secret?name=&keep=.
func newSecret(v *visit) error {
	p, err := v.secretPage()
	if err != nil {
		return err
	}
	plan, err := v.rotate(p, true)
	p.SQL = plan.SQL
	return v.showSecret(p, err)
}

func (v *visit) secretPage() (secretPage, error) {
	found, err := v.user.DescribeSubscription(v.ctx(), v.FormValue("name"))
	p := secretPage{S: v.subscribed(found), Keep: v.FormValue("keep"), Keeps: keeps}
	if p.Keep == "" {
		p.Keep = keeps[0].Value
	}
	return p, err
}

func (v *visit) rotate(p secretPage, dryRun bool) (control.Change[control.RotatedSecret], error) {
	if !slices.ContainsFunc(keeps, func(k keep) bool { return k.Value == p.Keep }) {
		return control.Change[control.RotatedSecret]{}, fault.New(fault.Invalid, "form_invalid", "it was not chosen how long the old secret signs").WithHint("choose one of those offered")
	}
	seconds, _ := strconv.Atoi(p.Keep)
	return v.user.RotateSecret(v.ctx(), p.S.Full, "", seconds, dryRun)
}

func (v *visit) showSecret(p secretPage, err error) error {
	status := http.StatusOK
	if p.Problem = v.explain(err, ""); p.Problem != nil {
		status = p.Problem.Status
	}
	return v.show(status, "new-secret", "events", "New secret for "+p.S.Name, p)
}

// rotateSecret answers POST /subscription/secret (name, keep): 201 with the secret, which is shown this once and is in no address.
func rotateSecret(v *visit) error {
	p, err := v.secretPage()
	if err != nil {
		return err
	}
	made, err := v.rotate(p, false)
	if err != nil {
		return v.showSecret(p, err)
	}
	shown := madeSubscription{S: p.S, Secret: made.Made.Secret, Rotated: true, Warnings: made.Made.Warnings}
	if p.Keep != "0" {
		shown.OldUntil = &made.Made.OldSecretUntil
	}
	return v.show(http.StatusCreated, "made-subscription", "events", "New secret for "+p.S.Name, shown)
}

// madeSubscription shows a webhook's secret this once.
type madeSubscription struct {
	S        subscribed
	Secret   string
	Rotated  bool
	OldUntil *time.Time // the secret before signs too until then; nil when it does not
	Warnings []string
}

// replayPage asks from where on all that fits is sent again.
type replayPage struct {
	S       subscribed
	From    string // last, or after
	Number  string
	Head    int64 // of the log
	After   int64 // what is chosen
	Partial bool  // only a block of the page is asked for
	SQL     []string
	Problem *problem
}

// Count is how many events of the log are looked at again.
func (p replayPage) Count() int64 { return p.Head - p.After }

// newReplay answers GET /subscription/replay?name=.
func newReplay(v *visit) error {
	p, err := v.replayPage()
	if err != nil {
		return err
	}
	p.From, p.Number = "last", "100"
	return v.planReplay(p)
}

func (v *visit) replayPage() (replayPage, error) {
	p := replayPage{From: v.FormValue("from"), Number: strings.TrimSpace(v.FormValue("number"))}
	found, err := v.user.DescribeSubscription(v.ctx(), v.FormValue("name"))
	if err != nil {
		return p, err
	}
	p.S = v.subscribed(found)
	latest, err := v.user.LatestEvents(v.ctx(), 1, control.EventFilter{})
	p.Head = latest.Head
	return p, err
}

// position reads what is chosen. Errors: invalid form_invalid.
func (p *replayPage) position() error {
	n, err := strconv.ParseInt(p.Number, 10, 64)
	switch {
	case err != nil || n < 0:
		return fault.New(fault.Invalid, "form_invalid", "%q is no number of events, and no position", p.Number).WithHint("write a number such as 100").With("field", "number")
	case p.From == "last":
		p.After = max(0, p.Head-n)
	case p.From == "after":
		p.After = n
	default:
		return fault.New(fault.Invalid, "form_invalid", "it was not chosen where to begin").WithHint("choose one of those offered").With("field", "from")
	}
	return nil
}

func (v *visit) planReplay(p replayPage) error {
	err := p.position()
	if err == nil {
		var plan control.Change[control.Replayed]
		plan, err = v.user.Replay(v.ctx(), p.S.Full, p.After, true)
		p.SQL = plan.SQL
	}
	p.Problem = v.explain(err, "")
	return v.showReplay(http.StatusOK, p)
}

func (v *visit) showReplay(status int, p replayPage) error {
	p.Partial = v.partial()
	if p.Problem != nil && p.Problem.Field == "" {
		p.Problem.Field = "number" // all else that can be wrong is about it
	}
	return v.show(status, "replay", "events", "Replay for "+p.S.Name, p)
}

// replay answers POST /subscription/replay (name, from=last|after, number, do=check|save).
func replay(v *visit) error {
	p, err := v.replayPage()
	if err != nil {
		return err
	}
	switch do := v.FormValue("do"); do {
	case "check":
		return v.planReplay(p)
	case "save":
	default:
		return unknownStep(do)
	}
	if err = p.position(); err == nil {
		if _, err = v.user.Replay(v.ctx(), p.S.Full, p.After, false); err == nil {
			return v.back(p.S.Place("done", "replayed"))
		}
	}
	p.Problem = v.explain(err, "")
	return v.showReplay(p.Problem.Status, p)
}
