package api

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

const (
	unsubscribePath = "/unsubscribe"
	defaultTestWait = 35 * time.Second // for the first attempt of a test, which takes 30 s at most by default
	keepSecret      = 24 * 60 * 60     // seconds, the default of tinydev.rotate_secret
	linkBytes       = 16 << 10         // of the body of a one-click unsubscription
)

// SubscriptionParam is a subscription in the path.
type SubscriptionParam struct {
	Name string `path:"name" doc:"name; for administrators also owner.name" maxLength:"200"`
}

type createSubscriptionInput struct {
	DryRunParam
	Body control.NewSubscription
}

type subscriptionsInput struct {
	After int64 `query:"after" minimum:"0" doc:"subscription_id of the last one of the page before"`
	LimitParam
}

type subscriptionPage struct {
	Subscriptions []control.Subscription `json:"subscriptions"`
	Next          *int64                 `json:"next" doc:"ask again with after=next; null when this is all"`
}

type alterSubscriptionInput struct {
	SubscriptionParam
	DryRunParam
	Body struct {
		Target *string `json:"target,omitempty"`
		Active *bool   `json:"active,omitempty" doc:"false pauses it, true lets it go on where it stopped"`
		control.SubscriptionChange
	}
}

type changeSubscriptionInput struct {
	SubscriptionParam
	DryRunParam
}

type testSubscriptionInput struct {
	SubscriptionParam
	DryRunParam
	Wait bool `query:"wait" default:"true" doc:"wait for the first attempt, up to 35 seconds"`
}

type tryInput struct {
	DryRunParam
	Body struct {
		Name   string `json:"name,omitempty" doc:"may be missing, and be taken"`
		Kind   string `json:"kind" doc:"webhook, email or command" example:"webhook"`
		Target string `json:"target,omitempty"`
		Secret string `json:"secret,omitempty"`
		control.SubscriptionChange
	}
}

type rotateSecretInput struct {
	SubscriptionParam
	DryRunParam
	Body *struct {
		Secret      string `json:"secret,omitempty" doc:"whsec_ and 24 to 64 bytes in base64; one is made when it is missing"`
		KeepSeconds *int   `json:"keep_seconds,omitempty" doc:"how long the secret before signs too, 86400 when it is missing"`
	}
}

type deliveriesInput struct {
	SubscriptionParam
	State string `query:"state" enum:"pending,failing,delivered,dead" doc:"only those in this state"`
	After int64  `query:"after" minimum:"0" doc:"delivery_id of the last one of the page before"`
	LimitParam
}

type deliveryPage struct {
	Deliveries []control.Delivery `json:"deliveries" doc:"newest event first"`
	Next       *int64             `json:"next" doc:"ask again with after=next; null when this is all"`
}

// DeliveryParam is a delivery of a subscription in the path.
type DeliveryParam struct {
	SubscriptionParam
	DeliveryID int64 `path:"id" doc:"delivery_id, the position of the event"`
}

type redeliverInput struct {
	SubscriptionParam
	DryRunParam
	Body *struct {
		From  *int64  `json:"from,omitempty" doc:"from this position"`
		To    *int64  `json:"to,omitempty" doc:"up to this position"`
		State *string `json:"state,omitempty" enum:"dead,failing,delivered,all" doc:"dead when it is missing"`
	}
}

type redeliverOneInput struct {
	DeliveryParam
	DryRunParam
}

type replayInput struct {
	SubscriptionParam
	DryRunParam
	Body struct {
		After int64 `json:"after" doc:"position after which all that fits is sent again; 0 begins with the oldest event there is"`
	}
}

func (s *Service) subscriptionRoutes() {
	op := operation("POST", "/v1/subscriptions", "create-subscription", "subscriptions", "Have events sent to a URL, to e-mail addresses or to a program, from now on", 401, 403, 404, 409, 422)
	op.Description = "The answer shows a webhook's secret, once. What is sent is read with your rights when it is sent: events that you may see, and with attach the rows of any table or " +
		"view that you may read. A token that may make or change subscriptions can have all of that sent anywhere, whatever other scopes it lacks."
	change(s, http.StatusCreated, op, func(ctx context.Context, user *control.User, in *createSubscriptionInput) (control.Change[control.Subscription], error) {
		return user.CreateSubscription(ctx, in.Body, in.DryRun)
	})
	get(s, operation("GET", "/v1/subscriptions", "list-subscriptions", "subscriptions", "List your subscriptions, for administrators everybody's, by subscription_id", 401),
		func(ctx context.Context, user *control.User, in *subscriptionsInput) (subscriptionPage, error) {
			list, err := user.Subscriptions(ctx, in.After, in.Limit)
			return subscriptionPage{orEmpty(list), next(list, in.Limit, func(s control.Subscription) int64 { return s.SubscriptionID })}, err
		})
	get(s, operation("GET", "/v1/subscriptions/{name}", "describe-subscription", "subscriptions", "Describe a subscription: where it is, and how many deliveries wait or failed", 401, 404),
		func(ctx context.Context, user *control.User, in *SubscriptionParam) (control.Subscription, error) {
			return user.DescribeSubscription(ctx, in.Name)
		})
	change(s, http.StatusOK, operation("PATCH", "/v1/subscriptions/{name}", "alter-subscription", "subscriptions", "Change, pause or resume a subscription; what is missing stays", 401, 403, 404, 422),
		func(ctx context.Context, user *control.User, in *alterSubscriptionInput) (control.Change[control.Subscription], error) {
			return user.AlterSubscription(ctx, in.Name, in.Body.Target, in.Body.SubscriptionChange, in.Body.Active, in.DryRun)
		})
	change(s, http.StatusOK, operation("DELETE", "/v1/subscriptions/{name}", "drop-subscription", "subscriptions", "End a subscription, with its log of deliveries", 401, 404),
		func(ctx context.Context, user *control.User, in *changeSubscriptionInput) (control.Change[control.DroppedSubscription], error) {
			return user.DropSubscription(ctx, in.Name, in.DryRun)
		})
	change(s, http.StatusOK, operation("POST", "/v1/subscriptions/{name}/rotate", "rotate-secret", "subscriptions", "Give a webhook another secret; the answer shows it, once", 401, 404, 422),
		func(ctx context.Context, user *control.User, in *rotateSecretInput) (control.Change[control.RotatedSecret], error) {
			secret, keep := "", keepSecret
			if in.Body != nil {
				secret = in.Body.Secret
				if in.Body.KeepSeconds != nil {
					keep = *in.Body.KeepSeconds
				}
			}
			return user.RotateSecret(ctx, in.Name, secret, keep, in.DryRun)
		})
	s.testRoutes()
	s.deliveryRoutes()
	s.Echo.POST(unsubscribePath, s.unsubscribe)
}

func (s *Service) testRoutes() {
	op := operation("POST", "/v1/subscriptions/{name}/test", "test-subscription", "subscriptions", "Send a sample event to a subscription's target", 401, 404, 409, 429)
	op.Description = "Writes the event subscription.tested, which goes to this subscription alone, and waits for the first attempt to deliver it; where no server that is up can send it, warnings say so at once."
	change(s, http.StatusOK, op, func(ctx context.Context, user *control.User, in *testSubscriptionInput) (control.Change[control.TestedSubscription], error) {
		wait := s.testWait
		if !in.Wait {
			wait = 0
		}
		return s.deliverer.Test(ctx, user, in.Name, wait, in.DryRun)
	})
	op = operation("POST", "/v1/subscriptions/test", "try-subscription", "subscriptions", "Send a sample event to the target of a subscription before it is made", 401, 403, 404, 422, 429)
	op.Description = "Checks what would be made, makes one attempt within its time-out, and stores nothing. The sample has the id 0, and no rows are attached. A webhook without a secret is signed by one that is answered: give it to create-subscription too, for a receiver that verifies it. A dry run only checks, and answers with the SQL that would make it."
	change(s, http.StatusOK, op, func(ctx context.Context, user *control.User, in *tryInput) (control.Change[control.TriedSubscription], error) {
		return s.deliverer.TryNew(ctx, user, control.NewSubscription(in.Body), in.DryRun)
	})
}

func (s *Service) deliveryRoutes() {
	get(s, operation("GET", "/v1/subscriptions/{name}/deliveries", "list-deliveries", "subscriptions", "List what a subscription was sent, newest event first", 401, 404, 422),
		func(ctx context.Context, user *control.User, in *deliveriesInput) (deliveryPage, error) {
			list, err := user.Deliveries(ctx, in.Name, in.State, in.After, in.Limit)
			return deliveryPage{orEmpty(list), next(list, in.Limit, func(d control.Delivery) int64 { return d.DeliveryID })}, err
		})
	get(s, operation("GET", "/v1/subscriptions/{name}/deliveries/{id}", "describe-delivery", "subscriptions", "Describe a delivery: its attempts and its event", 401, 404),
		func(ctx context.Context, user *control.User, in *DeliveryParam) (control.DeliveryDetail, error) {
			return user.DescribeDelivery(ctx, in.Name, in.DeliveryID)
		})
	change(s, http.StatusOK, operation("POST", "/v1/subscriptions/{name}/deliveries/{id}/redeliver", "redeliver-one", "subscriptions", "Send a delivery once more, in whatever state it is", 401, 404),
		func(ctx context.Context, user *control.User, in *redeliverOneInput) (control.Change[control.Redelivered], error) {
			return user.Redeliver(ctx, in.Name, control.Redelivery{DeliveryID: &in.DeliveryID}, in.DryRun)
		})
	change(s, http.StatusOK, operation("POST", "/v1/subscriptions/{name}/redeliver", "redeliver", "subscriptions", "Send deliveries once more: a range of positions in a state, or all that are dead", 401, 404, 422),
		func(ctx context.Context, user *control.User, in *redeliverInput) (control.Change[control.Redelivered], error) {
			var what control.Redelivery
			if in.Body != nil {
				what.FromPosition, what.ToPosition, what.State = in.Body.From, in.Body.To, in.Body.State
			}
			return user.Redeliver(ctx, in.Name, what, in.DryRun)
		})
	change(s, http.StatusOK, operation("POST", "/v1/subscriptions/{name}/replay", "replay", "subscriptions", "Send all that fits and comes after a position, once more", 401, 404, 409, 422),
		func(ctx context.Context, user *control.User, in *replayInput) (control.Change[control.Replayed], error) {
			return user.Replay(ctx, in.Name, in.Body.After, in.DryRun)
		})
}

// unsubscribe answers POST /unsubscribe?s=&to=&key=, by which mail programs (RFC 8058) and the page behind the link of a message end
// what its reader gets: 200, or for the page, which sends page=, 303 back to it; 404 subscription_not_found for all that does not fit.
//
// The key is all that it takes: nobody is signed in, and a request may come from anywhere.
func (s *Service) unsubscribe(c echo.Context) error {
	r := c.Request()
	r.Body = http.MaxBytesReader(c.Response(), r.Body, linkBytes)
	if err := r.ParseMultipartForm(linkBytes); err != nil && !errors.Is(err, http.ErrNotMultipart) {
		return fault.New(fault.Invalid, "form_invalid", "the form cannot be read").WithHint("send List-Unsubscribe=One-Click as a form").Because(err)
	}
	query := r.URL.Query()
	id, err := strconv.ParseInt(query.Get("s"), 10, 64)
	if err != nil {
		id = 0 // which is none
	}
	ended, err := s.deliverer.Unsubscribe(r.Context(), id, query.Get("to"), query.Get("key"), false)
	if err != nil {
		return err
	}
	if r.PostForm.Get("page") != "" {
		return c.Redirect(http.StatusSeeOther, unsubscribePath+"?"+url.Values{"s": {query.Get("s")}, "to": {query.Get("to")}, "key": {query.Get("key")}, "done": {"1"}}.Encode())
	}
	return c.String(http.StatusOK, ended.Recipient+" gets no more of this.\n")
}
