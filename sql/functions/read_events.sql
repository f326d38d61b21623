create or replace function tinydev.read_events(
  after_position bigint  default 0,
  max_rows       integer default 100,
  types          text[]  default null,
  subjects       text[]  default null,
  out events jsonb,
  out next   bigint,
  out head   bigint
)
language plpgsql stable
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan  -- made for the filters that there are, so that one subject is found by its index
set random_page_cost = 1.1
as $$
declare
  v_oldest bigint;
  v_from   bigint;
  v_to     bigint;
  v_count  integer;
  v_types    text[] := tinydev_lib.globs(types, 'tinydev.');
  v_subjects text[] := tinydev_lib.globs(subjects);
  v_subject  text := case when cardinality(subjects) = 1 and strpos(subjects[1], '*') = 0 then subjects[1] end;
begin
  if max_rows is null or max_rows not between 1 and 1000 then
    perform tinydev_lib.fault(422, 'limit_invalid', format('max_rows is %s; it has to be 1 to 1000', coalesce(max_rows::text, 'null')));
  end if;
  select h.head, h.oldest into head, v_oldest from tinydev.event_head() h;
  if after_position > head then
    perform tinydev_lib.fault(409, 'position_ahead', format('the log ends at %s, before position %s', head, after_position),
      'the position is of another log, or of one that was restored: start again at 0', jsonb_build_object('head', head));
  end if;
  v_from := greatest(coalesce(after_position, 0), v_oldest - 1);
  v_to := least(head, v_from + 100000);
  select coalesce(jsonb_agg(tinydev_lib.cloud_event(e.position, e.type, e.subject, e.workspace, e.actor, e.occurred_at, e.data, tinydev_lib.event_source()) order by e.position), '[]'),
         count(*), max(e.position)
    into events, v_count, next
    from (select * from tinydev.event v
           where v.position > v_from and v.position <= v_to
             and (v_types is null or v.type like any (v_types)) and (v_subjects is null or v.subject like any (v_subjects)) and (v_subject is null or v.subject = v_subject)
           order by v.position limit max_rows) e;
  if v_count < max_rows then
    next := greatest(v_to, coalesce(after_position, 0));
  end if;
end $$;

comment on function tinydev.read_events(bigint, integer, text[], text[]) is
$$Events after a position, oldest first, as CloudEvents in a JSON array; next is the position up to which all was looked at, head the
newest there is. Start again at next: nothing is lost and nothing comes twice. While next < head there may be more: one call looks at
no more than 100,000 positions. max_rows is 1 to 1000. types and subjects filter, with * for any characters. Never locks.
Example: select * from tinydev.read_events(after_position => 0, types => array['view.*']);
Errors: TD422 limit_invalid; TD409 position_ahead.$$;
