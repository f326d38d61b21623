package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
)

// UserParam is a user in the path.
type UserParam struct {
	User string `path:"name" doc:"name of the user; - is yourself" maxLength:"63"`
}

// of gives the user's name; nobody is named -.
func (p UserParam) of(caller *control.User) string {
	if p.User == "-" {
		return caller.Role
	}
	return p.User
}

type usersInput struct {
	After string `query:"after" maxLength:"63" doc:"name of the last one of the page before"`
	LimitParam
}

type userPage struct {
	Users []control.Account `json:"users"`
	Next  *string           `json:"next" doc:"ask again with after=next; null when this is all"`
}

type createUserInput struct {
	DryRunParam
	Body struct {
		Name   string         `json:"name" example:"bob" doc:"1 to 63 of a-z, 0-9 and _, beginning with a letter; role and workspace get it"`
		Admin  bool           `json:"admin,omitempty" doc:"whether it may make and drop users and see all events"`
		Limits control.Limits `json:"limits,omitempty" doc:"what is left out or 0 is the default of the settings"`
		Reuse  bool           `json:"reuse,omitempty" doc:"allow the name of a former user, whose events and loads the new one sees"`
	}
}

type alterUserInput struct {
	UserParam
	DryRunParam
	Body struct {
		Admin  *bool          `json:"admin,omitempty"`
		Limits control.Limits `json:"limits,omitempty" doc:"what is left out stays; 0 goes back to the default"`
	}
}

type dropUserInput struct {
	UserParam
	DryRunParam
	Objects string `query:"objects" enum:"refuse,drop,reassign" default:"refuse" doc:"what to do with what the user owns"`
	To      string `query:"to" maxLength:"63" doc:"user who gets the objects, with objects=reassign"`
}

type passwordInput struct {
	UserParam
	DryRunParam
	Body struct {
		Password string `json:"password,omitempty" maxLength:"200" doc:"12 to 200 characters of printable ASCII; left out, one is generated and shown this once"`
	}
}

type settingsInput struct {
	DryRunParam
	Body map[string]json.RawMessage `doc:"settings by name; what is left out stays"`
}

func (s *Service) userRoutes() {
	get(s, operation("GET", "/v1/users", "list-users", "users", "List the users, by name; their limits are for administrators", 401),
		func(ctx context.Context, user *control.User, in *usersInput) (userPage, error) {
			page := userPage{}
			var err error
			page.Users, err = user.Users(ctx, in.After, in.Limit)
			if len(page.Users) == in.Limit {
				page.Next = &page.Users[in.Limit-1].Name
			}
			return page, err
		})
	change(s, http.StatusCreated, operation("POST", "/v1/users", "create-user", "users", "Make a user and its workspace; for administrators", 401, 403, 409, 422),
		func(ctx context.Context, user *control.User, in *createUserInput) (control.Change[control.Account], error) {
			return user.CreateUser(ctx, in.Body.Name, in.Body.Admin, in.Body.Limits, in.Body.Reuse, in.DryRun)
		})
	get(s, operation("GET", "/v1/users/{name}", "describe-user", "users", "Describe a user", 401, 404),
		func(ctx context.Context, user *control.User, in *UserParam) (control.Account, error) {
			return user.DescribeUser(ctx, in.of(user))
		})
	change(s, http.StatusOK, operation("PATCH", "/v1/users/{name}", "alter-user", "users",
		"Change a user's limits, make it an administrator or no longer one; for administrators", 401, 403, 404, 409, 422),
		func(ctx context.Context, user *control.User, in *alterUserInput) (control.Change[control.Account], error) {
			return user.AlterUser(ctx, in.of(user), in.Body.Admin, in.Body.Limits, in.DryRun)
		})
	change(s, http.StatusOK, operation("DELETE", "/v1/users/{name}", "drop-user", "users",
		"Drop a user with its jobs, tokens and sessions; for administrators", 401, 403, 404, 409, 422),
		func(ctx context.Context, user *control.User, in *dropUserInput) (control.Change[control.DroppedUser], error) {
			return user.DropUser(ctx, in.of(user), in.Objects, in.To, in.DryRun)
		})
	change(s, http.StatusOK, operation("PUT", "/v1/users/{name}/password", "set-password", "users",
		"Set your password for logins over TCP, or as an administrator another user's", 401, 403, 404, 422),
		func(ctx context.Context, user *control.User, in *passwordInput) (control.Change[control.PasswordSet], error) {
			return user.SetPassword(ctx, in.of(user), in.Body.Password, in.DryRun)
		})
	get(s, operation("GET", "/v1/settings", "list-settings", "settings", "List the settings of this installation", 401),
		func(ctx context.Context, user *control.User, _ *struct{}) (control.Settings, error) {
			return user.Settings(ctx)
		})
	change(s, http.StatusOK, operation("PATCH", "/v1/settings", "set-settings", "settings", "Change settings, all or none; for administrators", 401, 403, 422),
		func(ctx context.Context, user *control.User, in *settingsInput) (control.Change[control.Settings], error) {
			values, err := settingTexts(in.Body)
			if err != nil {
				return control.Change[control.Settings]{}, err
			}
			return user.SetSettings(ctx, values, in.DryRun)
		})
}

// settingTexts writes values as SQL reads them; what they may be is decided there.
func settingTexts(values map[string]json.RawMessage) (map[string]string, error) {
	texts := make(map[string]string, len(values))
	for name, raw := range values {
		var value any
		if err := json.Unmarshal(raw, &value); err != nil {
			return nil, fmt.Errorf("decode %s: %w", name, err)
		}
		if text, ok := value.(string); ok {
			texts[name] = text
		} else {
			texts[name] = string(raw)
		}
	}
	return texts, nil
}
