package control

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/tinydevcrm/tinydevcrm/pkg/postgres"
)

// Levels of a finding.
const (
	LevelError = "error"
	LevelWarn  = "warn"
	LevelInfo  = "info"
	LevelOK    = "ok"
)

// Finding is what one check of the doctor says about one subject.
type Finding struct {
	Check   string  `json:"check" db:"check_name" doc:"name of the check, of docs/doctor.md"`
	Level   string  `json:"level" db:"level" enum:"error,warn,info,ok" doc:"error: something does not work, or soon stops all; warn: look at it"`
	Subject string  `json:"subject" db:"subject" doc:"what it is about: a setting, a view, a job; empty where the check found nothing"`
	Message string  `json:"message" db:"message" doc:"what is wrong, and why"`
	Fix     *string `json:"fix" db:"fix" doc:"the SQL, or the command of a shell, that mends it; null where nothing is to be done"`
	Safe    bool    `json:"is_safe" db:"is_safe" doc:"whether POST /v1/doctor/fix mends it"`
}

// Examination is what the doctor found.
type Examination struct {
	Errors   int       `json:"errors"`
	Warnings int       `json:"warnings"`
	Findings []Finding `json:"findings" nullable:"false" doc:"the worst first; one of level ok for each check that found nothing"`
}

// Examine asks the doctor in a session of any role that may call it: its own findings, for administrators and the server all.
func Examine(ctx context.Context, q interface {
	Query(context.Context, string, ...any) (pgx.Rows, error)
}) (Examination, error) {
	var all Examination
	rows, err := q.Query(ctx, "select check_name, level, subject, message, fix, is_safe from tinydev.doctor()")
	if err == nil {
		all.Findings, err = pgx.CollectRows(rows, pgx.RowToStructByName[Finding])
	}
	for _, f := range all.Findings {
		switch f.Level {
		case LevelError:
			all.Errors++
		case LevelWarn:
			all.Warnings++
		}
	}
	return all, postgres.Fault(err, "")
}

// Doctor examines pg_cron, the settings, the logs, and what is the user's, for administrators everybody's.
func (u *User) Doctor(ctx context.Context) (Examination, error) {
	session, err := u.sessions.Acquire(ctx, u.Role)
	if err != nil {
		return Examination{}, err
	}
	defer session.Release()
	return Examine(ctx, session)
}

// Mended is one thing that the doctor mended, or tried to.
type Mended struct {
	Check   string  `json:"check"`
	Subject string  `json:"subject"`
	SQL     string  `json:"sql" doc:"what it ran"`
	Error   *string `json:"error" doc:"why it could not; null when it did"`
}

// Mending is what the doctor mended.
type Mending struct {
	Mended []Mended `json:"mended" nullable:"false"`
}

// Mend mends, in a session of an administrator or a superuser, what the doctor found and can be mended without a loss.
func Mend(ctx context.Context, q interface {
	QueryRow(context.Context, string, ...any) pgx.Row
}, dryRun bool) (Change[Mending], error) {
	var c Change[Mending]
	var body []byte
	if err := q.QueryRow(ctx, "select tinydev.doctor_fix($1)", dryRun).Scan(&body); err != nil {
		return c, postgres.Fault(err, "")
	}
	answer := struct {
		Mending
		SQL []string `json:"sql"`
	}{}
	if err := json.Unmarshal(body, &answer); err != nil {
		return c, fmt.Errorf("decode the answer: %w", err)
	}
	return Change[Mending]{answer.Mending, answer.SQL}, nil
}

// MendSafe mends what the doctor found and can be mended without a loss. Errors: forbidden admin_only.
func (u *User) MendSafe(ctx context.Context, dryRun bool) (Change[Mending], error) {
	session, err := u.sessions.Acquire(ctx, u.Role)
	if err != nil {
		return Change[Mending]{}, err
	}
	defer session.Release()
	return Mend(ctx, session, dryRun)
}
