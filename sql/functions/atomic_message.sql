create or replace function tinydev_lib.atomic_message() returns text
language plpgsql
as $$
declare
  v_message text;
begin
  begin
    commit;
  exception when invalid_transaction_termination then
    get stacked diagnostics v_message = message_text;
  end;
  return v_message;
end $$;

comment on function tinydev_lib.atomic_message() is
$$What PostgreSQL says, in the server's language, to a COMMIT where none is possible; tinydev.refresh compares with it.$$;
