package control

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"time"

	"github.com/tinydevcrm/tinydevcrm/pkg/postgres"
)

// Account is a user as others see it. What is nil is only for the user and for administrators.
type Account struct {
	Name            string     `json:"name" doc:"role, and workspace"`
	Admin           bool       `json:"admin" doc:"whether it may make and drop users and see all events"`
	Limits          *Limits    `json:"limits" doc:"null unless you are the user or an administrator"`
	Sessions        *int64     `json:"sessions" doc:"open now, running jobs among them; null as limits"`
	Jobs            *int64     `json:"jobs" doc:"rows of cron.job; null as limits"`
	TokenLastUsedAt *time.Time `json:"token_last_used_at" doc:"null as limits, and when none ever was"`
}

// Limits of a user. To a changing call nil leaves a limit as it is and 0 gives it the default of the settings; in an answer nil is
// no limit, or the server's own.
type Limits struct {
	Connections            *int `json:"connections" minimum:"0" maximum:"10000" required:"false" doc:"sessions at once"`
	StatementSeconds       *int `json:"statement_seconds" minimum:"0" maximum:"86400" required:"false" doc:"time of one statement over HTTP"`
	WorkMemMB              *int `json:"work_mem_mb" minimum:"0" maximum:"65536" required:"false" doc:"memory of one sort or hash before it spills to disk"`
	TempFileMB             *int `json:"temp_file_mb" minimum:"0" maximum:"10000000" required:"false" doc:"temporary files of one session; from PostgreSQL 15 on"`
	PageRows               *int `json:"page_rows" minimum:"0" maximum:"10000" required:"false" doc:"rows of one page of an answer over HTTP"`
	RunningJobs            *int `json:"running_jobs" minimum:"0" maximum:"1000" required:"false" doc:"runs of pg_cron at once"`
	IdleTransactionSeconds *int `json:"idle_transaction_seconds" minimum:"0" maximum:"86400" required:"false" doc:"how long a transaction may be open and idle"`
}

// CreateUser makes a user with its workspace; for administrators. reuse allows the name of a former user.
// Errors: forbidden admin_only; invalid user_name_invalid, user_limit_invalid, limit_unsupported; conflict name_taken, name_retired.
func (u *User) CreateUser(ctx context.Context, name string, admin bool, limits Limits, reuse, dryRun bool) (Change[Account], error) {
	return change[Account](ctx, u, "", `
select tinydev.create_user($1, $2, connections => $3, statement_seconds => $4, work_mem_mb => $5, temp_file_mb => $6, page_rows => $7,
  running_jobs => $8, idle_transaction_seconds => $9, reuse => $10, dry_run => $11)`, name, admin, limits.Connections, limits.StatementSeconds, limits.WorkMemMB,
		limits.TempFileMB, limits.PageRows, limits.RunningJobs, limits.IdleTransactionSeconds, reuse, dryRun)
}

// AlterUser makes a user an administrator or no longer one, and changes its limits; for administrators. What is nil stays.
// Errors: forbidden admin_only, user_privileged, role_not_ours; not_found user_not_found; conflict last_admin; invalid user_limit_invalid,
// limit_unsupported.
func (u *User) AlterUser(ctx context.Context, name string, admin *bool, limits Limits, dryRun bool) (Change[Account], error) {
	return change[Account](ctx, u, "", `
select tinydev.alter_user($1, $2, connections => $3, statement_seconds => $4, work_mem_mb => $5, temp_file_mb => $6, page_rows => $7,
  running_jobs => $8, idle_transaction_seconds => $9, dry_run => $10)`, name, admin, limits.Connections, limits.StatementSeconds, limits.WorkMemMB,
		limits.TempFileMB, limits.PageRows, limits.RunningJobs, limits.IdleTransactionSeconds, dryRun)
}

// What DropUser does with what the user owns.
const (
	RefuseObjects   = "refuse"
	DropObjects     = "drop"
	ReassignObjects = "reassign"
)

// DroppedUser tells what went with a user.
type DroppedUser struct {
	Dropped      string       `json:"dropped"`
	Jobs         []DroppedJob `json:"jobs" doc:"the rows of cron.job that went"`
	Tokens       int          `json:"tokens" doc:"how many tokens went"`
	Objects      []string     `json:"objects" doc:"what it owned, dropped or reassigned"`
	ReassignedTo *string      `json:"reassigned_to" doc:"whose the objects are now; null when they were dropped"`
	Warnings     []string     `json:"warnings" doc:"code that runs as its new owner from now on"`
}

// DroppedJob is a job that went with its user.
type DroppedJob struct {
	JobID    int64   `json:"job_id"`
	Name     *string `json:"name"`
	View     *string `json:"view" doc:"null for a job that tinydev did not make"`
	Schedule string  `json:"schedule"`
	Command  string  `json:"command"`
}

// DropUser drops a user with its jobs, tokens and sessions; objects is refuse, drop, or reassign to the user to. For administrators.
// Errors: forbidden admin_only, user_privileged, role_not_ours; not_found user_not_found; conflict user_has_objects, in_use,
// used_elsewhere, drop_self, last_admin; invalid objects_invalid.
func (u *User) DropUser(ctx context.Context, name, objects, to string, dryRun bool) (Change[DroppedUser], error) {
	return change[DroppedUser](ctx, u, "", "select tinydev.drop_user($1, coalesce(nullif($2, ''), 'refuse'), nullif($3, ''), $4)", name, objects, to, dryRun)
}

// DescribeUser gives a user. Errors: not_found user_not_found.
func (u *User) DescribeUser(ctx context.Context, name string) (Account, error) {
	return decode[Account](ctx, u, "select tinydev.describe_user($1)", name)
}

// Users lists the users, by name from the one after after; limit is 1..1000.
func (u *User) Users(ctx context.Context, after string, limit int) ([]Account, error) {
	return decode[[]Account](ctx, u, `
select coalesce(pg_catalog.jsonb_agg(tinydev.describe_user(n.name) order by n.name), '[]')
  from (select name::text collate "C" as name from tinydev.user where name::text collate "C" > $1 order by 1 limit $2) n`, after, limit)
}

// PasswordSet tells whose password was set.
type PasswordSet struct {
	Name     string `json:"name"`
	Password string `json:"password,omitempty" doc:"the password, when it was generated; it is shown this once"`
}

// SetPassword gives a user a password for logins over TCP, "" for a generated one, which the answer holds. Your own, or as an
// administrator another user's. PostgreSQL gets to see only what SCRAM-SHA-256 derives from it.
// Errors: invalid password_invalid; forbidden admin_only, user_privileged, role_not_ours; not_found user_not_found.
func (u *User) SetPassword(ctx context.Context, name, password string, dryRun bool) (Change[PasswordSet], error) {
	var set Change[PasswordSet]
	generated := password == ""
	if generated {
		password = newPassword()
	}
	if err := checkPassword(password); err != nil {
		return set, err
	}
	salt := make([]byte, 16)
	rand.Read(salt) // never fails
	kept, err := verifier(password, salt, scramIterations)
	if err != nil {
		return set, err
	}
	set, err = change[PasswordSet](ctx, u, "", "select tinydev.set_password($1, $2, $3)", kept, name, dryRun)
	if err == nil && generated && !dryRun {
		set.Made.Password = password
	}
	return set, err
}

// Settings are those of the installation. The limits hold for users that have none of their own.
type Settings struct {
	ReadAll                bool   `json:"read_all" doc:"whether all users may read the workspaces that are made from now on"`
	EventRetention         string `json:"event_retention" doc:"how long events are kept" example:"90 days"`
	RunRetention           string `json:"run_retention" doc:"how long the runs of jobs are kept" example:"30 days"`
	AuditRetention         string `json:"audit_retention" doc:"how long the audit is kept" example:"365 days"`
	DeliveryRetention      string `json:"delivery_retention" doc:"how long deliveries that arrived are kept" example:"30 days"`
	Connections            int    `json:"connections" doc:"for new users"`
	StatementSeconds       int    `json:"statement_seconds"`
	WorkMemMB              int    `json:"work_mem_mb" doc:"for new users"`
	TempFileMB             int    `json:"temp_file_mb" doc:"for new users, from PostgreSQL 15 on"`
	PageRows               int    `json:"page_rows"`
	RunningJobs            int    `json:"running_jobs"`
	IdleTransactionSeconds int    `json:"idle_transaction_seconds"`
}

// Settings gives the settings.
func (u *User) Settings(ctx context.Context) (Settings, error) {
	return decode[Settings](ctx, u, "select tinydev.describe_settings()")
}

// SetSettings changes settings, each by its name and a value as PostgreSQL reads it, all or none; for administrators.
// Errors: forbidden admin_only; invalid setting_unknown, setting_invalid.
func (u *User) SetSettings(ctx context.Context, values map[string]string, dryRun bool) (Change[Settings], error) {
	var c Change[Settings]
	text, err := json.Marshal(values)
	if err != nil {
		return c, fmt.Errorf("encode the settings: %w", err)
	}
	session, err := u.sessions.Acquire(ctx, u.Role)
	if err != nil {
		return c, err
	}
	defer session.Release()
	var planned []*string
	err = session.QueryRow(ctx, `
select coalesce(pg_catalog.array_agg(tinydev.set_setting(s.key, s.value, $2) -> 'sql' ->> 0 order by s.key), '{}') from pg_catalog.jsonb_each_text($1) s`,
		text, dryRun).Scan(&planned)
	if err != nil {
		return c, postgres.Fault(err, "")
	}
	if dryRun {
		c.SQL = []string{}
		for _, sql := range planned {
			c.SQL = append(c.SQL, *sql)
		}
		return c, nil
	}
	var body []byte
	if err := session.QueryRow(ctx, "select tinydev.describe_settings()").Scan(&body); err != nil {
		return c, postgres.Fault(err, "")
	}
	if err := json.Unmarshal(body, &c.Made); err != nil {
		return c, fmt.Errorf("decode the answer: %w", err)
	}
	return c, nil
}
