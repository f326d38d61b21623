// Package ingest turns an untrusted stream of CSV into rows in PostgreSQL.
//
// The parts, in the order of a load: NewScanner detects encoding and delimiter and reads the
// header; Infer reads every record and says which PostgreSQL type each column fits; Match pairs the
// header with the columns of an existing table; Copy streams the records into COPY. A stream can be
// read once, so a file whose types are to be inferred goes through a Spool first.
//
// Nothing raw reaches PostgreSQL: every byte is checked for encoding, NUL, quoting, width and size
// before it is sent, and the number of rows stored must equal the number of records read. Memory
// does not grow with the stream.
//
// What the caller may show to a person is a *fault.Error. Its Fields name the place in the file:
// line (1-based, as an editor counts), record (1-based, without the header), column (its name),
// column_number (1-based), value (cut to 100 characters) and reason. Codes: file_empty,
// format_unsupported, encoding_unknown, encoding_invalid, option_invalid, header_invalid,
// row_ragged, row_too_large, cell_too_large, columns_too_many, quote_open, quote_stray,
// line_end_stray, nul_byte, file_invalid (several of these), columns_mismatch, cell_invalid,
// null_forbidden, value_duplicate, reference_missing, check_failed, row_refused, rows_lost,
// file_too_large, storage_full.
package ingest
