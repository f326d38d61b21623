package api

import (
	"context"
	"net/http"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
)

// IdentityParam is a user in the path.
type IdentityParam struct {
	User string `path:"name" doc:"name of the user" maxLength:"63"`
}

type linkIdentityInput struct {
	IdentityParam
	DryRunParam
	Body struct {
		Issuer  string `json:"issuer" doc:"claim iss of the provider's tokens" example:"https://login.example.org" maxLength:"2000"`
		Subject string `json:"subject" doc:"claim sub of the person's tokens" example:"00u1a2b3c4" maxLength:"255"`
	}
}

type unlinkIdentityInput struct {
	IdentityParam
	DryRunParam
	Issuer string `query:"issuer" required:"true" doc:"claim iss of the provider's tokens" maxLength:"2000"`
}

type identityList struct {
	Identities []control.Identity `json:"identities" doc:"by issuer; of others for administrators only"`
}

func (s *Service) identityRoutes() {
	const path = "/v1/users/{name}/identity"
	get(s, operation("GET", path, "list-identities", "users", "Say who a user is at identity providers", 401),
		func(ctx context.Context, user *control.User, in *IdentityParam) (identityList, error) {
			list, err := user.Identities(ctx, in.User)
			return identityList{list}, err
		})
	change(s, http.StatusOK, operation("PUT", path, "link-identity", "users", "Link a user to somebody at an identity provider; for administrators", 401, 403, 409, 422),
		func(ctx context.Context, user *control.User, in *linkIdentityInput) (control.Change[control.Identity], error) {
			return user.LinkIdentity(ctx, in.User, in.Body.Issuer, in.Body.Subject, in.DryRun)
		})
	change(s, http.StatusOK, operation("DELETE", path, "unlink-identity", "users", "Forget who a user is at an identity provider; for administrators", 401, 403, 404),
		func(ctx context.Context, user *control.User, in *unlinkIdentityInput) (control.Change[control.Identity], error) {
			return user.UnlinkIdentity(ctx, in.User, in.Issuer, in.DryRun)
		})
}
