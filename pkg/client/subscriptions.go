package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
)

func subscriptionPath(name string) string { return "/v1/subscriptions/" + segment(name) }

// CreateSubscription has events sent to a target; the answer is the only time that a webhook's secret is shown.
func (c *Client) CreateSubscription(ctx context.Context, s control.NewSubscription, dryRun bool) (control.Change[control.Subscription], error) {
	return change[control.Subscription](ctx, c, http.MethodPost, "/v1/subscriptions", nil, s, dryRun)
}

// AlteredSubscription is what is to change of a subscription; what is nil stays.
type AlteredSubscription struct {
	Target *string `json:"target,omitempty"`
	Active *bool   `json:"active,omitempty"` // false pauses, true resumes
	control.SubscriptionChange
}

// AlterSubscription changes, pauses or resumes a subscription.
func (c *Client) AlterSubscription(ctx context.Context, name string, to AlteredSubscription, dryRun bool) (control.Change[control.Subscription], error) {
	return change[control.Subscription](ctx, c, http.MethodPatch, subscriptionPath(name), nil, to, dryRun)
}

// DropSubscription ends a subscription, with its log of deliveries.
func (c *Client) DropSubscription(ctx context.Context, name string, dryRun bool) (control.Change[control.DroppedSubscription], error) {
	return change[control.DroppedSubscription](ctx, c, http.MethodDelete, subscriptionPath(name), nil, nil, dryRun)
}

// Subscription gives a subscription.
func (c *Client) Subscription(ctx context.Context, name string) (control.Subscription, error) {
	return call[control.Subscription](ctx, c, http.MethodGet, subscriptionPath(name), nil, nil)
}

// Subscriptions lists the user's subscriptions, for administrators everybody's.
func (c *Client) Subscriptions(ctx context.Context) ([]control.Subscription, error) {
	type page struct {
		Subscriptions []control.Subscription `json:"subscriptions"`
		Next          *int64                 `json:"next"`
	}
	query := url.Values{"limit": {strconv.Itoa(pageSize)}}
	for all := []control.Subscription{}; ; {
		p, err := call[page](ctx, c, http.MethodGet, "/v1/subscriptions", query, nil)
		if err != nil {
			return nil, err
		}
		if all = append(all, p.Subscriptions...); p.Next == nil {
			return all, nil
		}
		query.Set("after", strconv.FormatInt(*p.Next, 10))
	}
}

// RotateSecret gives a webhook another secret, which the server makes when secret is ""; the one before signs too for keepSeconds.
func (c *Client) RotateSecret(ctx context.Context, name, secret string, keepSeconds int, dryRun bool) (control.Change[control.RotatedSecret], error) {
	body := map[string]any{"keep_seconds": keepSeconds}
	if secret != "" {
		body["secret"] = secret
	}
	return change[control.RotatedSecret](ctx, c, http.MethodPost, subscriptionPath(name)+"/rotate", nil, body, dryRun)
}

// TestSubscription sends a sample event to a subscription's target, and waits for the first attempt, up to 35 seconds.
func (c *Client) TestSubscription(ctx context.Context, name string, dryRun bool) (control.Change[control.TestedSubscription], error) {
	return change[control.TestedSubscription](ctx, c, http.MethodPost, subscriptionPath(name)+"/test", nil, nil, dryRun)
}

// TrySubscription sends a sample event to the target of a subscription that is not made yet; nothing is stored.
func (c *Client) TrySubscription(ctx context.Context, s control.NewSubscription) (control.TriedSubscription, error) {
	return call[control.TriedSubscription](ctx, c, http.MethodPost, "/v1/subscriptions/test", nil, s)
}

// Deliveries lists the newest deliveries of a subscription, up to limit (1..1000); state "" is all.
func (c *Client) Deliveries(ctx context.Context, name, state string, limit int) ([]control.Delivery, error) {
	query := url.Values{"limit": {strconv.Itoa(limit)}}
	if state != "" {
		query.Set("state", state)
	}
	page, err := call[struct {
		Deliveries []control.Delivery `json:"deliveries"`
	}](ctx, c, http.MethodGet, subscriptionPath(name)+"/deliveries", query, nil)
	return page.Deliveries, err
}

// Delivery gives a delivery with its attempts and its event.
func (c *Client) Delivery(ctx context.Context, name string, deliveryID int64) (control.DeliveryDetail, error) {
	return call[control.DeliveryDetail](ctx, c, http.MethodGet, deliveryPath(name, deliveryID), nil, nil)
}

func deliveryPath(name string, deliveryID int64) string {
	return subscriptionPath(name) + "/deliveries/" + strconv.FormatInt(deliveryID, 10)
}

// Redeliver sends deliveries once more: one, or those of a range in a state.
func (c *Client) Redeliver(ctx context.Context, name string, what control.Redelivery, dryRun bool) (control.Change[control.Redelivered], error) {
	if what.DeliveryID != nil {
		return change[control.Redelivered](ctx, c, http.MethodPost, deliveryPath(name, *what.DeliveryID)+"/redeliver", nil, nil, dryRun)
	}
	return change[control.Redelivered](ctx, c, http.MethodPost, subscriptionPath(name)+"/redeliver", nil, what, dryRun)
}

// Replay sends all that fits and comes after a position, once more.
func (c *Client) Replay(ctx context.Context, name string, after int64, dryRun bool) (control.Change[control.Replayed], error) {
	return change[control.Replayed](ctx, c, http.MethodPost, subscriptionPath(name)+"/replay", nil, map[string]int64{"after": after}, dryRun)
}
