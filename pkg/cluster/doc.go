// Package cluster runs a private PostgreSQL with pg_cron in a data directory of its own.
//
//	<data-dir>/postgres   PGDATA, or a symbolic link to it (see below)
//	<data-dir>/run        0700 folder of the Unix socket, or a symbolic link to it
//	<data-dir>/log        postgres.log and postgres.log.1
//	<data-dir>/lock       locked, and holding our process id, while a server uses the directory
//
// The socket is open to whoever can reach it (trust): its folder is 0700 and its owner owns the
// data files anyway. TCP listens on 127.0.0.1 and asks for scram-sha-256.
//
// PostgreSQL refuses to run as root. As root, its processes run as another user of the operating
// system (Account), who owns PGDATA and the socket folder; where that user cannot enter the data
// directory, both lie under /var/lib/tinydev and the data directory links to them.
//
// PostgreSQL outlives a killed server on purpose: the next Start adopts it, and no job is missed.
package cluster
