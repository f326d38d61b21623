// Package deliver brings events to the targets of subscriptions: webhooks, e-mail, commands.
//
// PostgreSQL holds every subscription, its cursor and its deliveries, and decides when what is tried again, given up or paused; a
// server that holds a lease on a subscription reads its events from the relay, makes the attempts, and reports how they ended.
package deliver
