package api

import (
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tinydevcrm/tinydevcrm/pkg/auth"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

// Marks in an operation's metadata.
const (
	markReads = "reads"
	markWhole = "whole"
)

// reads marks a call that changes nothing although it is a POST, because it has a body.
func reads(op huma.Operation) huma.Operation { return mark(op, markReads) }

// whole marks a call that scopes never let in: by it a token could get more than it has.
func whole(op huma.Operation) huma.Operation { return mark(op, markWhole) }

func mark(op huma.Operation, as string) huma.Operation {
	if op.Metadata == nil {
		op.Metadata = map[string]any{}
	}
	op.Metadata[as] = true
	return op
}

// widening are the tags under which every change could give a token more than it has: it would make
// another, or another user, or lift the limits.
var widening = map[string]bool{"tokens": true, "users": true, "settings": true}

// needOf tells what a call asks of a token: the scope is its tag; what is no GET changes something unless it is marked.
func needOf(op *huma.Operation) auth.Need {
	n := auth.Need{Scope: op.Tags[0], Reads: op.Method == http.MethodGet || op.Metadata[markReads] != nil}
	n.Whole = op.Metadata[markWhole] != nil || widening[n.Scope] && !n.Reads
	return n
}

// authenticate puts who makes a request into its context, and lets in no token that is too narrow for the call. Every operation of
// the API has it.
func (s *Service) authenticate(ctx huma.Context, next func(huma.Context)) {
	r, _ := unwrap(ctx)
	p, err := s.auth.Principal(ctx.Context(), r)
	if err == nil {
		requestFrom(ctx.Context()).user = p.Role
		err = p.Permits(needOf(ctx.Operation()))
	}
	if err != nil {
		// What cannot be written has nobody to read it.
		_ = huma.WriteErr(s.huma, ctx, fault.KindOf(err).Status(), "", err)
		return
	}
	next(huma.WithContext(ctx, auth.WithPrincipal(ctx.Context(), p)))
}

// describeAccess says in the description of each call what it asks of a token.
func (s *Service) describeAccess() {
	for _, path := range s.huma.OpenAPI().Paths {
		for _, op := range []*huma.Operation{path.Get, path.Post, path.Put, path.Patch, path.Delete} {
			if op == nil {
				continue
			}
			words := "Needs a token without scopes, and not read-only."
			if word := needOf(op).Word(); word != "" {
				op.Security = []map[string][]string{{"token": {word}}}
				words = "Scope of the token: " + word + "."
			}
			op.Description = strings.TrimSpace(op.Description + "\n\n" + words)
		}
	}
}
