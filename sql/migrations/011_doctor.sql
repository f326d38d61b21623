set local role tinydev_owner;

reset role;

---- create above / drop below ----
