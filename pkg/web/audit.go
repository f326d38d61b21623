package web

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

// auditEntries is how many acts one page lists.
const auditEntries = 100

// auditPage lists acts, newest first.
type auditPage struct {
	Actor, Action, Since string // the filter, as it was typed
	Entries              []auditLine
	Older                string // where the next page is; "" at the end
	Problem              *problem
}

// Filtered says whether anything narrows the list.
func (p auditPage) Filtered() bool { return p.Actor != "" || p.Action != "" || p.Since != "" }

type auditLine struct {
	control.AuditEntry
	JSON string // of the detail; "" when there is none
}

// Refused says whether somebody was turned away.
func (l auditLine) Refused() bool { return strings.HasSuffix(l.Action, ".refused") }

// listAudit answers GET /audit?actor=&action=&since=&before=; since is the value of an input of type datetime-local, in UTC.
func listAudit(v *visit) error {
	p := auditPage{Actor: strings.TrimSpace(v.QueryParam("actor")), Action: strings.TrimSpace(v.QueryParam("action")), Since: strings.TrimSpace(v.QueryParam("since"))}
	since, err := parseMoment(p.Since)
	if err != nil {
		return v.showAudit(p, err)
	}
	before, _ := strconv.ParseInt(v.QueryParam("before"), 10, 64) // a bad number starts at the newest
	entries, err := v.user.Audit(v.ctx(), control.AuditFilter{Actor: p.Actor, Action: p.Action, Since: since}, max(before, 0), auditEntries)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		p.Entries = append(p.Entries, auditLine{entry, indented(entry.Detail)})
	}
	if len(entries) == auditEntries {
		p.Older = "/audit?" + url.Values{
			"actor": {p.Actor}, "action": {p.Action}, "since": {p.Since}, "before": {strconv.FormatInt(entries[auditEntries-1].AuditID, 10)},
		}.Encode()
	}
	return v.showAudit(p, nil)
}

func (v *visit) showAudit(p auditPage, err error) error {
	status := http.StatusOK
	if p.Problem = v.explain(err, ""); p.Problem != nil {
		status = p.Problem.Status
	}
	return v.show(status, "audit", "users", "Audit", p)
}

// parseMoment reads a point in time as browsers send it, with or without seconds, in UTC; the zero time for "". Errors: invalid form_invalid.
func parseMoment(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{"2006-01-02T15:04", "2006-01-02T15:04:05", time.DateOnly} {
		if at, err := time.Parse(layout, text); err == nil {
			return at, nil
		}
	}
	return time.Time{}, fault.New(fault.Invalid, "form_invalid", "%q is not a point in time", text).WithHint("write it as 2026-01-31T08:30")
}

// indented writes an entry's detail for reading.
func indented(detail map[string]any) string {
	if len(detail) == 0 {
		return ""
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false) // the template escapes
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(detail); err != nil { // it came as JSON
		return ""
	}
	return strings.TrimSpace(out.String())
}
