create or replace function tinydev.latest_events(
  max_rows integer default 100,
  types    text[]  default null,
  subjects text[]  default null,
  out events jsonb,
  out head   bigint
)
language plpgsql stable
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan  -- made for the filters that there are, so that one subject is found by its index
set random_page_cost = 1.1
as $$
declare
  v_types    text[] := tinydev_lib.globs(types, 'tinydev.');
  v_subjects text[] := tinydev_lib.globs(subjects);
  v_subject  text := case when cardinality(subjects) = 1 and strpos(subjects[1], '*') = 0 then subjects[1] end;
begin
  if max_rows is null or max_rows not between 1 and 1000 then
    perform tinydev_lib.fault(422, 'limit_invalid', format('max_rows is %s; it has to be 1 to 1000', coalesce(max_rows::text, 'null')));
  end if;
  select h.head into head from tinydev.event_head() h;
  select coalesce(jsonb_agg(tinydev_lib.cloud_event(e.position, e.type, e.subject, e.workspace, e.actor, e.occurred_at, e.data, tinydev_lib.event_source()) order by e.position), '[]')
    into events
    from (select * from tinydev.event v
           where v.position > head - 100000 and v.position <= head
             and (v_types is null or v.type like any (v_types)) and (v_subjects is null or v.subject like any (v_subjects)) and (v_subject is null or v.subject = v_subject)
           order by v.position desc limit max_rows) e;
end $$;

comment on function tinydev.latest_events(integer, text[], text[]) is
$$The newest events that you may see and that fit, oldest first, as CloudEvents in a JSON array; head is the newest position there is, after
which tinydev.read_events goes on. It looks at the last 100,000 positions. max_rows is 1 to 1000; types and subjects filter as there.
Example: select * from tinydev.latest_events(20, subjects => array['ann.*']);
Errors: TD422 limit_invalid.$$;
