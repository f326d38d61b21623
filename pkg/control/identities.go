package control

import (
	"context"
	"time"
)

// Identity says who a user is at an outside identity provider.
type Identity struct {
	Name     string     `json:"name" doc:"the user"`
	Issuer   string     `json:"issuer" doc:"claim iss of the provider's tokens"`
	Subject  string     `json:"subject" doc:"claim sub: who it is there"`
	LinkedAt *time.Time `json:"linked_at,omitempty" doc:"when an administrator linked them, or they first came"`
}

// LinkIdentity says who a user is at an identity provider, in place of who it was there. Errors: forbidden admin_only, not_a_user;
// conflict identity_in_use; invalid identity_invalid.
func (u *User) LinkIdentity(ctx context.Context, name, issuer, subject string, dryRun bool) (Change[Identity], error) {
	return change[Identity](ctx, u, "", "select tinydev.link_identity($1, $2, $3, $4)", name, issuer, subject, dryRun)
}

// UnlinkIdentity forgets who a user is at an identity provider. Errors: forbidden admin_only; not_found identity_not_found.
func (u *User) UnlinkIdentity(ctx context.Context, name, issuer string, dryRun bool) (Change[Identity], error) {
	return change[Identity](ctx, u, "", "select tinydev.unlink_identity($1, $2, $3)", name, issuer, dryRun)
}

// Identities lists who a user is at identity providers, by issuer; nothing of others for who is no administrator.
func (u *User) Identities(ctx context.Context, name string) ([]Identity, error) {
	return decode[[]Identity](ctx, u, `
select coalesce(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('name', i.name, 'issuer', i.issuer, 'subject', i.subject, 'linked_at', i.linked_at) order by i.issuer), '[]')
  from tinydev.identity i where i.name = $1`, name)
}
