"""DuckDB macros that write values as texts, as Java does: numbers, times, intervals, and CAST to varchar.

In the order in which they use one another.
"""

from __future__ import annotations

from retail_analytics.embedded.athena.quoting import macro

PRINTING = (
    macro(
        "print_mantissa",
        "(digits) AS left(digits, 1) || '.' || CASE WHEN rtrim(substr(digits, 2), '0') = '' THEN '0' "
        "ELSE rtrim(substr(digits, 2), '0') END",
    ),
    macro(
        "print_digits",
        "(text) AS athena_print_mantissa(ltrim(replace(split_part(text, 'e', 1), '.', ''), '0')) || 'E' || "
        "CAST(coalesce(TRY_CAST(nullif(split_part(text, 'e', 2), '') AS INTEGER), 0) + CASE WHEN "
        "starts_with(text, '0.') THEN -1 - "
        "length(regexp_extract(split_part(split_part(text, 'e', 1), '.', 2), "
        "'^0*')) ELSE length(split_part(split_part(text, 'e', 1), '.', 1)) - 1 END AS VARCHAR)",
    ),
    macro(
        "print_scientific",
        # one digit before the point and an exponent, always; `text` is what DuckDB prints
        "(text) AS CASE WHEN text IS NULL THEN NULL WHEN text IN ('nan', '-nan') THEN 'NaN' "
        "WHEN text = 'inf' "
        "THEN 'Infinity' WHEN text = '-inf' THEN '-Infinity' WHEN ltrim(text, '-') IN ('0.0', '0') "
        "THEN replace(replace(text, '0.0', '0'), '0', '0E0') "
        "ELSE CASE WHEN starts_with(text, '-') THEN '-' ELSE '' END "
        "|| athena_print_digits(ltrim(text, '-')) END",
    ),
    # `digits` is a timestamp as DuckDB prints it, with as many digits after the point as there are
    macro(
        "print_millis",
        "(digits) AS left(digits || CASE WHEN contains(digits, '.') THEN '00' ELSE '.000' END, 23)",
    ),
    macro(
        "print_exponent",
        # `text` is what DuckDB prints of a finite number without its sign: 1.0, 123456.7, 1e-05, 1.5e+20
        "(text) AS CASE WHEN contains(text, 'e') THEN "
        "regexp_replace(split_part(text, 'e', 1) || CASE WHEN contains(split_part(text, 'e', 1), '.') "
        "THEN '' ELSE '.0' END, '$', '') || 'E' || CAST(CAST(split_part(text, 'e', 2) AS INTEGER) AS "
        "VARCHAR) "
        "WHEN starts_with(text, '0.000') THEN athena_print_mantissa(ltrim(replace(text, '.', ''), '0')) "
        "|| 'E-' || CAST(length(regexp_extract(split_part(text, '.', 2), '^0*')) + 1 AS VARCHAR) "
        "WHEN strpos(text, '.') > 8 THEN athena_print_mantissa(replace(text, '.', '')) "
        "|| 'E' || CAST(strpos(text, '.') - 2 AS VARCHAR) ELSE text END",
    ),
    macro(
        "print_interval",
        # milliseconds as `2 00:00:00.000`
        "(x) AS CASE WHEN epoch_ms(x) < 0 THEN '-' ELSE '' END || printf('%d %02d:%02d:%02d.%03d', "
        "abs(epoch_ms(x)) // 86400000, abs(epoch_ms(x)) // 3600000 % 24, abs(epoch_ms(x)) // 60000 % 60, "
        "abs(epoch_ms(x)) // 1000 % 60, abs(epoch_ms(x)) % 1000)",
    ),
    macro(
        "print_double",
        # Java's Double.toString: an exponent from 10^7 on and below 10^-3
        "(x) AS CASE WHEN x IS NULL THEN NULL WHEN isnan(x) THEN 'NaN' WHEN isinf(x) THEN "
        "CASE WHEN x > 0 THEN 'Infinity' ELSE '-Infinity' END "
        "ELSE CASE WHEN starts_with(CAST(x AS VARCHAR), '-') THEN '-' ELSE '' END "
        "|| athena_print_exponent(ltrim(CAST(x AS VARCHAR), '-')) END",
    ),
    macro(
        "cast_varchar",
        "(x) AS CASE typeof(x) WHEN 'JSON' THEN json_extract_string(to_json(x), '$') "
        "WHEN 'TIMESTAMP' THEN athena_print_millis(CAST(x AS VARCHAR)) "
        "WHEN 'TIMESTAMP WITH TIME ZONE' "
        "THEN athena_print_millis(regexp_replace(CAST(x AS VARCHAR), '[+-][0-9:]+$', '')) || ' UTC' "
        "WHEN 'DOUBLE' THEN athena_print_scientific(CAST(x AS VARCHAR)) "
        "WHEN 'FLOAT' THEN athena_print_scientific(CAST(x AS VARCHAR)) "
        "ELSE CAST(x AS VARCHAR) END",
    ),
)
