package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
)

// NewUser says how a user is to be made.
type NewUser struct {
	Name   string     `json:"name"`
	Admin  bool       `json:"admin,omitempty"`
	Limits UserLimits `json:"limits,omitzero"`
	Reuse  bool       `json:"reuse,omitempty"` // allow the name of a former user
}

// UserLimits gives limits by their names, such as page_rows; 0 is the default, and what is left out stays.
type UserLimits map[string]int

// UserChange is what to change of a user; what is nil stays.
type UserChange struct {
	Admin  *bool      `json:"admin,omitempty"`
	Limits UserLimits `json:"limits,omitzero"`
}

// CreateUser makes a user and its workspace; for administrators.
func (c *Client) CreateUser(ctx context.Context, user NewUser, dryRun bool) (control.Change[control.Account], error) {
	return change[control.Account](ctx, c, http.MethodPost, "/v1/users", nil, user, dryRun)
}

// AlterUser changes a user's limits, or makes it an administrator or no longer one; for administrators.
func (c *Client) AlterUser(ctx context.Context, name string, to UserChange, dryRun bool) (control.Change[control.Account], error) {
	return change[control.Account](ctx, c, http.MethodPatch, "/v1/users/"+segment(name), nil, to, dryRun)
}

// DropUser drops a user; objects is one of control's RefuseObjects, DropObjects and ReassignObjects, to who gets them.
func (c *Client) DropUser(ctx context.Context, name, objects, to string, dryRun bool) (control.Change[control.DroppedUser], error) {
	query := url.Values{"objects": {objects}}
	if to != "" {
		query.Set("to", to)
	}
	return change[control.DroppedUser](ctx, c, http.MethodDelete, "/v1/users/"+segment(name), query, nil, dryRun)
}

// User gives a user.
func (c *Client) User(ctx context.Context, name string) (control.Account, error) {
	return call[control.Account](ctx, c, http.MethodGet, "/v1/users/"+segment(name), nil, nil)
}

// Users lists the users, by name.
func (c *Client) Users(ctx context.Context) ([]control.Account, error) {
	all := []control.Account{}
	for after := ""; ; after = all[len(all)-1].Name {
		page, err := call[struct {
			Users []control.Account `json:"users"`
		}](ctx, c, http.MethodGet, "/v1/users", url.Values{"after": {after}, "limit": {strconv.Itoa(pageSize)}}, nil)
		if err != nil {
			return nil, err
		}
		all = append(all, page.Users...)
		if len(page.Users) < pageSize {
			return all, nil
		}
	}
}

// SetPassword gives a user a password, "" for a generated one, which the answer holds.
func (c *Client) SetPassword(ctx context.Context, name, password string, dryRun bool) (control.Change[control.PasswordSet], error) {
	body := map[string]string{}
	if password != "" {
		body["password"] = password
	}
	return change[control.PasswordSet](ctx, c, http.MethodPut, "/v1/users/"+segment(name)+"/password", nil, body, dryRun)
}

// Settings gives the settings of the installation.
func (c *Client) Settings(ctx context.Context) (control.Settings, error) {
	return call[control.Settings](ctx, c, http.MethodGet, "/v1/settings", nil, nil)
}

// SetSettings changes settings by name, all or none; for administrators.
func (c *Client) SetSettings(ctx context.Context, values map[string]string, dryRun bool) (control.Change[control.Settings], error) {
	return change[control.Settings](ctx, c, http.MethodPatch, "/v1/settings", nil, values, dryRun)
}
