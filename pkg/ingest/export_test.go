package ingest

// SpoolFault is spoolFault, for the tests.
var SpoolFault = spoolFault
