package deliver

import (
	"context"
	"strings"

	"github.com/tinydevcrm/tinydevcrm/pkg/postgres"
)

// Unsubscribed tells what a reader of e-mail ended.
type Unsubscribed struct {
	Owner     string // of the subscription, as is Name
	Name      string
	Recipient string // who gets nothing of it any more
	Ended     bool   // whether it was so before
}

// Unsubscribe ends what a recipient gets of a subscription by e-mail, by the key of its messages; a dry run tells only what it would
// be. It can be repeated. Errors: not_found subscription_not_found, for whatever does not fit.
func (d *Deliverer) Unsubscribe(ctx context.Context, id int64, recipient, key string, dryRun bool) (Unsubscribed, error) {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	select {
	case d.links <- struct{}{}:
		defer func() { <-d.links }()
	case <-ctx.Done():
		return Unsubscribed{}, ctx.Err()
	}
	for _, text := range []*string{&recipient, &key} {
		*text = strings.ToValidUTF8(strings.ReplaceAll(*text, "\x00", "\uFFFD"), "\uFFFD")
	}
	var u Unsubscribed
	err := d.Pool.QueryRow(ctx, "select a ->> 'owner', a ->> 'name', a ->> 'recipient', (a ->> 'ended')::boolean from tinydev_impl.unsubscribe($1, $2, $3, $4) a",
		id, recipient, key, dryRun).Scan(&u.Owner, &u.Name, &u.Recipient, &u.Ended)
	return u, postgres.Fault(err, "")
}
