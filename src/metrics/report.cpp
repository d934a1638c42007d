/*
 * hermet.metrics(), metrics_text(), reset_metrics(): what was counted, and what the instances'
 * own tables say of their state.
 */
#include "metrics/layout.h"
#include "pg/counters.h"
#include "pg/function.h"
#include "pg/sql.h"

extern "C" {
#include "catalog/pg_authid_d.h"
#include "utils/json.h"
#include "utils/jsonb.h"
}

namespace hermet::metrics {

namespace {

constexpr int most_labels = max_labels + 1; /* le */

/* One line of the text format: a number, its labels in the order in which they are written. */
struct Sample {
    const Family *family;
    const char *suffix;
    int labels = 0;
    const char *names[most_labels];
    const char *values[most_labels];
    double value;

    void add_label(const char *name, const char *value)
    {
        names[labels] = name;
        values[labels++] = value;
    }
};

using Samples = pg::Vector<Sample>;

/* A state of an instance, as hermet.instance_metrics() gives it. */
struct Gauge {
    const char *name;
    const char *schema;
    const char *table; /* or NULL */
    double value;
};

struct Owned {
    const char *schema;
    Oid owner;
};

constexpr const char *select_instances = R"(
SELECT DISTINCT ON (i.target) i.target::text, r.oid
  FROM hermet.instances() i JOIN pg_catalog.pg_roles r ON r.rolname = i.owner ORDER BY i.target)";

constexpr const char *select_gauges =
    "SELECT m.name, m.table_name, m.value FROM hermet.instance_metrics($1::pg_catalog.name) m";

pg::Vector<Owned> &find_instances()
{
    pg::Vector<Owned> &instances = pg::make<pg::Vector<Owned>>();
    pg::Session session;
    session.begin(GetUserId());
    pg::Result rows = pg::execute_once(select_instances, {}, pg::Sight::caller);
    MemoryContextSwitchTo(session.memory);
    for (uint64 i = 0; i < rows.count; i++)
        instances.push_back(
            {TextDatumGetCString(rows.value(i, 0)), DatumGetObjectId(rows.value(i, 1))});
    session.end();
    return instances;
}

/* As the instance's owner, whose tables they are read from. */
void read_gauges(const Owned &instance, pg::Vector<Gauge> &gauges)
{
    Oid type = TEXTOID;
    Datum schema = CStringGetTextDatum(instance.schema);
    char null = ' ';
    pg::Session session;
    session.begin(instance.owner);
    pg::Result rows =
        pg::execute_once(select_gauges, {1, &type, &schema, &null}, pg::Sight::caller);
    MemoryContextSwitchTo(session.memory);
    for (uint64 i = 0; i < rows.count; i++) {
        Datum table = rows.value(i, 1);
        gauges.push_back({TextDatumGetCString(rows.value(i, 0)), instance.schema,
                          table ? TextDatumGetCString(table) : nullptr,
                          DatumGetFloat8(rows.value(i, 2))});
    }
    session.end();
}

double unix_seconds(TimestampTz time)
{
    constexpr int64 offset = int64(POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY * 1000;
    int64 milliseconds = time / 1000 + offset;
    return static_cast<double>(milliseconds) / 1000;
}

uint64 read(int counter)
{
    return pg_atomic_read_u64(&pg::counters()[counter]);
}

/* Buckets are counted apart and told added up, so that none is ever more than the next. */
void append_histogram(const Family &family, int first, const Sample &labelled, Samples &samples)
{
    const Buckets &buckets = *family.buckets;
    uint64 count = 0;
    Sample sample = labelled;
    sample.suffix = "_bucket";
    sample.add_label("le", nullptr);
    for (int i = 0; i <= buckets.count; i++) {
        count += read(first + i);
        sample.values[sample.labels - 1] = i < buckets.count ? buckets.bounds[i].text : "+Inf";
        sample.value = static_cast<double>(count);
        samples.push_back(sample);
    }
    sample = labelled;
    sample.suffix = "_sum";
    sample.value = static_cast<double>(read(first + buckets.count + 1)) / family.unit;
    samples.push_back(sample);
    sample.suffix = "_count";
    sample.value = static_cast<double>(count);
    samples.push_back(sample);
}

bool is_zero(int first, int width)
{
    for (int i = first; i < first + width; i++)
        if (read(i) != 0)
            return false;
    return true;
}

void append_counters(const Family &family, Samples &samples)
{
    int width = family.width();
    int combinations = family.combinations();
    for (int i = 0; i < combinations; i++) {
        int first = family.first + i * width;
        if (!family.is_always(i) && is_zero(first, width))
            continue;
        Sample sample = {};
        sample.family = &family;
        sample.suffix = "";
        int rest = i;
        int below = combinations;
        for (const Label &label : family.labels) {
            if (label.count == 0)
                break;
            below /= label.count;
            sample.add_label(label.name, label.values[rest / below]);
            rest %= below;
        }
        if (family.buckets) {
            append_histogram(family, first, sample, samples);
            continue;
        }
        sample.value = static_cast<double>(read(first)) / family.unit;
        samples.push_back(sample);
    }
}

void append_gauges(const Family &family, size_t instances, const pg::Vector<Gauge> &gauges,
                   Samples &samples)
{
    auto is = [&](const char *name) { return strcmp(family.name, name) == 0; };
    Sample sample = {};
    sample.family = &family;
    sample.suffix = "";
    sample.value = 1;
    if (is("hermet_info"))
        sample.add_label("version", HERMET_VERSION);
    else if (is("hermet_metrics_shared"))
        sample.value = pg::counters_are_shared();
    else if (is("hermet_metrics_start_time_seconds"))
        sample.value = unix_seconds(pg::counting_since());
    else if (is("hermet_instances"))
        sample.value = static_cast<double>(instances);
    else {
        for (const Gauge &gauge : gauges) {
            if (!is(gauge.name))
                continue;
            sample.labels = 0;
            sample.add_label("schema", gauge.schema);
            if (gauge.table)
                sample.add_label("table", gauge.table);
            sample.value = gauge.value;
            samples.push_back(sample);
        }
        return;
    }
    samples.push_back(sample);
}

/*
 * They say nothing of users, but of load: for those who monitor, and for owners of instances, who
 * see the state of their own only.
 */
Samples &collect()
{
    pg::Vector<Owned> &instances = find_instances();
    pg::Vector<Gauge> &gauges = pg::make<pg::Vector<Gauge>>();
    bool monitors = has_privs_of_role(GetUserId(), ROLE_PG_MONITOR);
    bool owns = false;
    for (const Owned &instance : instances) {
        bool own = has_privs_of_role(GetUserId(), instance.owner);
        owns |= own;
        if (monitors || own)
            read_gauges(instance, gauges);
    }
    if (!monitors && !owns)
        ereport(ERROR, errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                errmsg("permission denied to read hermet's metrics"),
                errdetail("They are for members of pg_monitor and for owners of instances."));

    Samples &samples = pg::make<Samples>();
    for (int i = 0; i < family_count; i++) {
        if (families[i].first >= 0)
            append_counters(families[i], samples);
        else
            append_gauges(families[i], instances.size(), gauges, samples);
    }
    return samples;
}

/*
 * A number as both formats have it: whole ones without a point, others so that they read back the
 * same.
 */
char *number(double value)
{
    char *text = psprintf("%.15g", value);
    return strtod(text, nullptr) == value ? text : psprintf("%.17g", value);
}

Datum labels_of(const Sample &sample)
{
    StringInfoData json;
    initStringInfo(&json);
    appendStringInfoChar(&json, '{');
    for (int i = 0; i < sample.labels; i++) {
        if (i > 0)
            appendStringInfoChar(&json, ',');
        escape_json(&json, sample.names[i]);
        appendStringInfoChar(&json, ':');
        escape_json(&json, sample.values[i]);
    }
    appendStringInfoChar(&json, '}');
    return DirectFunctionCall1(jsonb_in, CStringGetDatum(json.data));
}

/* A label's value may hold anything; help has no quotes to escape. */
void append_escaped(StringInfo out, const char *text)
{
    for (; *text; text++) {
        if (*text == '\n')
            appendStringInfoString(out, "\\n");
        else {
            if (*text == '\\' || *text == '"')
                appendStringInfoChar(out, '\\');
            appendStringInfoChar(out, *text);
        }
    }
}

void append_line(StringInfo out, const Sample &sample)
{
    appendStringInfo(out, "%s%s", sample.family->name, sample.suffix);
    for (int i = 0; i < sample.labels; i++) {
        appendStringInfo(out, "%s%s=\"", i == 0 ? "{" : ",", sample.names[i]);
        append_escaped(out, sample.values[i]);
        appendStringInfoChar(out, '"');
    }
    appendStringInfo(out, "%s %s\n", sample.labels > 0 ? "}" : "", number(sample.value));
}

} // namespace

} // namespace hermet::metrics

using namespace hermet;
using namespace hermet::metrics;

HERMET_FUNCTION(metrics)
{
    ReturnSetInfo *set = pg::begin_set(fcinfo);
    for (const Sample &sample : collect()) {
        Datum values[] = {CStringGetTextDatum(psprintf("%s%s", sample.family->name, sample.suffix)),
                          labels_of(sample), Float8GetDatum(sample.value)};
        bool nulls[lengthof(values)] = {};
        tuplestore_putvalues(set->setResult, set->setDesc, values, nulls);
    }
    return Datum(0);
}

HERMET_FUNCTION(metrics_text)
{
    constexpr const char *kinds[] = {"counter", "gauge", "histogram"};

    StringInfoData out;
    initStringInfo(&out);
    const char *told = "";
    for (const Sample &sample : collect()) {
        const Family &family = *sample.family;
        if (strcmp(told, family.name) != 0)
            appendStringInfo(&out, "# HELP %s %s\n# TYPE %s %s\n", family.name, family.help,
                             family.name, kinds[static_cast<int>(family.kind)]);
        told = family.name;
        append_line(&out, sample);
    }
    PG_RETURN_TEXT_P(cstring_to_text_with_len(out.data, out.len));
}

HERMET_FUNCTION(reset_metrics)
{
    pg::reset_counters();
    PG_RETURN_VOID();
}
