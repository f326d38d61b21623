create or replace function tinydev_impl.extend_log(p_position bigint) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_last record;
  v_rows bigint;
  v_from bigint;
  v_name text;
begin
  loop
    select * into v_last from tinydev_impl.event_partition order by position_to desc limit 1;
    v_from := coalesce(v_last.position_to, 1);
    -- Two partitions beyond the position: the one in use and one ahead.
    exit when (select count(*) from tinydev_impl.event_partition p where p.position_to > p_position) >= 2;
    v_rows := case
      when v_last is null then 100000
      when v_last.created_at > clock_timestamp() - interval '1 day' and v_last.position_from > 1
        then least((v_last.position_to - v_last.position_from) * 10, 10000000)
      else v_last.position_to - v_last.position_from end;
    v_name := 'event_' || v_from;
    -- Made apart and attached: that takes no lock that a reader of the log could hold up.
    execute format('create table tinydev_impl.%I (like tinydev_impl.event including defaults including constraints)', v_name);
    execute format('alter table tinydev_impl.%I add check (position >= %s and position < %s)', v_name, v_from, v_from + v_rows);
    execute format('alter table tinydev_impl.event attach partition tinydev_impl.%I for values from (%s) to (%s)', v_name, v_from, v_from + v_rows);
    execute format('create table tinydev_impl.%I (like tinydev_impl.delivery including defaults including constraints)', 'delivery_' || v_from);
    execute format('alter table tinydev_impl.%I add check (position >= %s and position < %s)', 'delivery_' || v_from, v_from, v_from + v_rows);
    execute format('alter table tinydev_impl.delivery attach partition tinydev_impl.%I for values from (%s) to (%s)', 'delivery_' || v_from, v_from, v_from + v_rows);
    insert into tinydev_impl.event_partition (table_name, position_from, position_to) values (v_name, v_from, v_from + v_rows);
  end loop;
  update tinydev_impl.head set partition_to = (select min(p.position_to) from tinydev_impl.event_partition p where p.position_to > p_position);
end $$;

comment on function tinydev_impl.extend_log(bigint) is
$$Makes sure that the log and the deliveries have a partition for p_position and one beyond it. One that filled up within a day makes the next ten times larger.$$;

select tinydev_impl.extend_log((select position from tinydev_impl.head));
