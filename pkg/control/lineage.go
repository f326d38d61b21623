package control

import (
	"context"
)

// Kinds of nodes of a lineage.
const (
	LineageTable        = "table"
	LineageView         = "view"
	LineagePlainView    = "plain_view"
	LineageFunction     = "function"
	LineageJob          = "job"
	LineageTrigger      = "trigger"
	LineageSubscription = "subscription"
)

// Lineage is what comes from what: a graph.
type Lineage struct {
	Nodes []LineageNode `json:"nodes"`
	Edges []LineageEdge `json:"edges"`
}

// LineageNode is one thing in a lineage. What has no meaning for its kind is left out.
type LineageNode struct {
	ID        string   `json:"id" doc:"kind and name; of a job its number" example:"table:ann.prices"`
	Kind      string   `json:"kind" enum:"table,view,plain_view,function,job,trigger,subscription" doc:"view is a materialized view"`
	Name      string   `json:"name"`
	Owner     string   `json:"owner"`
	Populated *bool    `json:"populated,omitempty" doc:"of a materialized view: whether it was ever filled"`
	Known     *bool    `json:"known,omitempty" doc:"of views and functions: false when something may be read that PostgreSQL cannot tell, in a function whose body is text"`
	Hidden    *int64   `json:"hidden,omitempty" doc:"of views and functions: how many things they read or call that you may not see"`
	JobID     *int64   `json:"job_id,omitempty" doc:"of a job"`
	Schedule  *string  `json:"schedule,omitempty" doc:"of a job"`
	TimeZone  *string  `json:"time_zone,omitempty" doc:"of a job"`
	Active    *bool    `json:"active,omitempty" doc:"of a job or subscription: false while paused; of a trigger: false when it failed"`
	Channel   *string  `json:"channel,omitempty" doc:"of a trigger: what it notifies"`
	Sends     *string  `json:"sends,omitempty" doc:"of a subscription: webhook, email or command"`
	Types     []string `json:"types,omitempty" doc:"of a trigger or subscription: types of events; left out is all"`
	Subjects  []string `json:"subjects,omitempty" doc:"of a subscription: what the events are about; left out is all"`
}

// LineageEdge leads from one node to where a change of it goes on.
type LineageEdge struct {
	From string `json:"from" doc:"id of a node"`
	To   string `json:"to" doc:"id of a node"`
	Kind string `json:"kind" enum:"reads,calls,refreshes,starts,wakes,delivers" doc:"reads and calls: to reads or calls from; else from does it to to"`
}

// Lineage tells what comes from what, as far as the user may see it: all, or for a relation ("" is none) what it is made of and what comes of
// it. Nodes are ordered by kind, then by name.
// Errors: not_found relation_not_found; forbidden not_readable; invalid name_invalid.
func (u *User) Lineage(ctx context.Context, relation string) (Lineage, error) {
	return decode[Lineage](ctx, u, "select tinydev.lineage(nullif($1, ''))", relation)
}
