package ingest

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

// TableColumn is a column of a table as far as a load is concerned.
type TableColumn struct {
	Name      string
	Type      string // as format_type writes it: "numeric(10,2)"
	Nullable  bool
	Default   bool // PostgreSQL fills it in: a default, an identity, a generated value
	Generated bool // generated always (an expression or an identity): cannot be loaded
}

// Querier is what TableColumns needs: a pgx.Conn, Tx or Pool.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// TableColumns reads the columns of a table, in its order. PostgreSQL's errors (42P01 when there is
// no such table, 42501 without the right to its schema) come wrapped.
func TableColumns(ctx context.Context, q Querier, table pgx.Identifier) ([]TableColumn, error) {
	rows, err := q.Query(ctx, `
		select a.attname::text,
			pg_catalog.format_type(a.atttypid, a.atttypmod),
			not a.attnotnull and not t.typnotnull,
			a.atthasdef or a.attidentity <> '' or t.typdefault is not null,
			a.attgenerated <> '' or a.attidentity = 'a'
		from pg_catalog.pg_attribute a
		join pg_catalog.pg_type t on t.oid = a.atttypid
		where a.attrelid = $1::text::regclass and a.attnum > 0 and not a.attisdropped
		order by a.attnum`, table.Sanitize())
	if err == nil {
		var columns []TableColumn
		columns, err = pgx.CollectRows(rows, pgx.RowToStructByPos[TableColumn])
		if err == nil {
			return columns, nil
		}
	}
	return nil, fmt.Errorf("read the columns of %s: %w", strings.Join(table, "."), err)
}

// Match finds the table's column for each name of a header: the same name, else the only one that
// differs in nothing but upper and lower case. A column that the file does not have must be nullable or filled
// in by PostgreSQL. The result is in the header's order, as Copy wants it.
//
// Every mismatch is in one fault, columns_mismatch, with lists in its fields: extra (in the file
// only), missing (the table needs them), ambiguous (fits several), generated (cannot be loaded) and
// available (what the table has).
func Match(header []string, table []TableColumn) ([]string, error) {
	exact := map[string]bool{}
	folded := map[string][]string{}
	for _, c := range table {
		exact[c.Name] = true
	}
	taken := map[string]bool{}
	for _, name := range header {
		if exact[name] {
			taken[name] = true
		}
	}
	for _, c := range table {
		if !taken[c.Name] {
			key := strings.ToLower(c.Name)
			folded[key] = append(folded[key], c.Name)
		}
	}
	wanted := map[string]int{}
	for _, name := range header {
		if !exact[name] {
			wanted[strings.ToLower(name)]++
		}
	}
	out := make([]string, len(header))
	extra, missing, ambiguous, generated, available := []string{}, []string{}, []string{}, []string{}, []string{}
	for i, name := range header {
		key := strings.ToLower(name)
		switch {
		case exact[name]:
			out[i] = name
		case len(folded[key]) == 0:
			extra = append(extra, name)
		case len(folded[key]) > 1 || wanted[key] > 1:
			ambiguous = append(ambiguous, name)
		default:
			out[i] = folded[key][0]
		}
	}
	for _, c := range table {
		available = append(available, c.Name)
		if slices.Contains(out, c.Name) {
			if c.Generated {
				generated = append(generated, c.Name)
			}
			continue
		}
		// What the file may have meant by an ambiguous name is not missing as well.
		guess := slices.ContainsFunc(ambiguous, func(name string) bool { return strings.EqualFold(name, c.Name) })
		if !c.Nullable && !c.Default && !guess {
			missing = append(missing, c.Name)
		}
	}
	var reasons []string
	for _, problem := range []struct {
		words   string
		columns []string
	}{
		{"the table does not have ", extra},
		{"the file does not have ", missing},
		{"more than one column fits ", ambiguous},
		{"PostgreSQL generates ", generated},
	} {
		if len(problem.columns) > 0 {
			reasons = append(reasons, problem.words+strings.Join(problem.columns, ", "))
		}
	}
	if reasons == nil {
		return out, nil
	}
	return nil, fault.New(fault.Invalid, "columns_mismatch", "the file's columns do not fit the table: %s", strings.Join(reasons, "; ")).
		WithHint("make the header's names those of the table, which has %s", strings.Join(available, ", ")).
		With("extra", extra).With("missing", missing).With("ambiguous", ambiguous).
		With("generated", generated).With("available", available)
}
