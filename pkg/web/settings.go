package web

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

// limitField is a field of a form for one limit.
type limitField struct {
	Name, Label, Hint string
	Highest           int
	Value             string // as it is typed; "" stands for the default
	Default           string

	of       func(*control.Limits) **int
	settings func(*control.Settings) *int
	had      int // what holds now; 0 is none, or the server's own
	fallback int
}

// limits are all limits of users.
var limits = []limitField{
	{Name: "connections", Label: "Connections", Hint: "Sessions at once, of all programs together.", Highest: 10000,
		of: func(l *control.Limits) **int { return &l.Connections }, settings: func(s *control.Settings) *int { return &s.Connections }},
	{Name: "running_jobs", Label: "Running jobs", Hint: "Runs of pg_cron at once.", Highest: 1000,
		of: func(l *control.Limits) **int { return &l.RunningJobs }, settings: func(s *control.Settings) *int { return &s.RunningJobs }},
	{Name: "statement_seconds", Label: "Seconds of a statement", Hint: "Over HTTP and on these pages.", Highest: 86400,
		of: func(l *control.Limits) **int { return &l.StatementSeconds }, settings: func(s *control.Settings) *int { return &s.StatementSeconds }},
	{Name: "page_rows", Label: "Rows of a page", Hint: "Of an answer over HTTP.", Highest: 10000,
		of: func(l *control.Limits) **int { return &l.PageRows }, settings: func(s *control.Settings) *int { return &s.PageRows }},
	{Name: "work_mem_mb", Label: "Memory of a sort, MB", Hint: "Before it spills to disk; in psql the user can lift it.", Highest: 65536,
		of: func(l *control.Limits) **int { return &l.WorkMemMB }, settings: func(s *control.Settings) *int { return &s.WorkMemMB }},
	{Name: "temp_file_mb", Label: "Temporary files, MB", Hint: "Of one session, from PostgreSQL 15 on.", Highest: 10000000,
		of: func(l *control.Limits) **int { return &l.TempFileMB }, settings: func(s *control.Settings) *int { return &s.TempFileMB }},
	{Name: "idle_transaction_seconds", Label: "Seconds of an idle transaction", Hint: "It is ended when it stays open for longer.", Highest: 86400,
		of: func(l *control.Limits) **int { return &l.IdleTransactionSeconds }, settings: func(s *control.Settings) *int { return &s.IdleTransactionSeconds }},
}

// limitForm gives the fields for the limits that hold now (nil for a new user): empty where the default does.
func limitForm(settings control.Settings, now *control.Limits) []limitField {
	fields := make([]limitField, len(limits))
	for i, field := range limits {
		field.fallback = *field.settings(&settings)
		field.Default = strconv.Itoa(field.fallback)
		field.had = field.fallback
		if now != nil {
			field.had = 0
			if value := *field.of(now); value != nil {
				field.had = *value
			}
			if field.had != 0 && field.had != field.fallback {
				field.Value = strconv.Itoa(field.had)
			}
		}
		fields[i] = field
	}
	return fields
}

// readLimits keeps in the fields what was typed, and gives the limits that differ from what holds now. Errors: invalid form_invalid.
func (v *visit) readLimits(fields []limitField) (control.Limits, error) {
	var changed control.Limits
	var err error
	for i := range fields {
		field := &fields[i]
		field.Value = strings.TrimSpace(v.FormValue(field.Name))
		wanted := 0 // PostgreSQL's side takes it for the default
		if field.Value != "" {
			n, parseErr := strconv.Atoi(field.Value)
			if parseErr != nil || n < 1 || n > field.Highest {
				err = fault.New(fault.Invalid, "form_invalid", "%s: %q is not a number from 1 to %d", field.Label, field.Value, field.Highest).
					WithHint("leave it empty for the default, %d", field.fallback)
				continue
			}
			wanted = n
		}
		if wanted == field.had || wanted == 0 && field.had == field.fallback {
			continue
		}
		*field.of(&changed) = &wanted
	}
	return changed, err
}

// textField is a field of a form for one text.
type textField struct{ Name, Label, Hint, Value string }

// settingsPage is the form of the settings.
type settingsPage struct {
	ReadAll    bool
	Limits     []limitField
	Retentions []textField
	SQL        []string
	Problem    *problem
}

func settingsForm(s control.Settings) settingsPage {
	p := settingsPage{ReadAll: s.ReadAll, Limits: limitForm(s, nil), Retentions: []textField{
		{"event_retention", "Events", "Such as 90 days.", s.EventRetention},
		{"run_retention", "Runs of jobs", "Such as 12 hours.", s.RunRetention},
		{"audit_retention", "Audit", "Such as 2 years.", s.AuditRetention},
		{"delivery_retention", "Deliveries", "Such as 30 days; what did not arrive is kept as long as its event.", s.DeliveryRetention},
	}}
	for i := range p.Limits {
		p.Limits[i].Value = p.Limits[i].Default
		if hint := map[string]string{"connections": "For new users. ", "work_mem_mb": "For new users. ", "temp_file_mb": "For new users. "}[p.Limits[i].Name]; hint != "" {
			p.Limits[i].Hint = hint + p.Limits[i].Hint
		}
	}
	return p
}

// showSettings answers GET /settings.
func showSettings(v *visit) error {
	settings, err := v.user.Settings(v.ctx())
	if err != nil {
		return err
	}
	return v.showSettings(http.StatusOK, settingsForm(settings))
}

func (v *visit) showSettings(status int, p settingsPage) error {
	return v.show(status, "settings", "users", "Settings", p)
}

// saveSettings answers POST /settings (all settings, do=check|save); only what differs is changed, all of it or nothing.
func saveSettings(v *visit) error {
	settings, err := v.user.Settings(v.ctx())
	if err != nil {
		return err
	}
	p := settingsForm(settings)
	changed := map[string]string{}
	if p.ReadAll = v.FormValue("read_all") != ""; p.ReadAll != settings.ReadAll {
		changed["read_all"] = strconv.FormatBool(p.ReadAll)
	}
	for i := range p.Limits {
		p.Limits[i].Value = v.changed(p.Limits[i].Name, p.Limits[i].Value, changed)
	}
	for i := range p.Retentions {
		p.Retentions[i].Value = v.changed(p.Retentions[i].Name, p.Retentions[i].Value, changed)
	}
	do := v.FormValue("do")
	if do != "check" && do != "save" {
		return unknownStep(do)
	}
	if len(changed) > 0 {
		var made control.Change[control.Settings]
		made, err = v.user.SetSettings(v.ctx(), changed, do == "check")
		p.SQL = made.SQL
	}
	if p.Problem = v.explain(err, ""); p.Problem != nil && do == "save" {
		return v.showSettings(p.Problem.Status, p)
	}
	if do == "save" {
		return v.back("/settings?done=settings-saved")
	}
	return v.showSettings(http.StatusOK, p)
}

// changed gives what was typed into a field, and notes it when it is not what there is.
func (v *visit) changed(name, is string, changes map[string]string) string {
	typed := strings.TrimSpace(v.FormValue(name))
	if typed != is {
		changes[name] = typed
	}
	return typed
}
