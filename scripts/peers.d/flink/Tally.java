import java.util.ArrayList;
import java.util.List;
import java.util.Set;

import org.apache.flink.api.connector.sink2.Sink;
import org.apache.flink.api.connector.sink2.SinkWriter;
import org.apache.flink.api.connector.sink2.WriterInitContext;
import org.apache.flink.configuration.ConfigOption;
import org.apache.flink.configuration.ConfigOptions;
import org.apache.flink.table.connector.ChangelogMode;
import org.apache.flink.table.connector.sink.DynamicTableSink;
import org.apache.flink.table.connector.sink.SinkV2Provider;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.factories.DynamicTableSinkFactory;
import org.apache.flink.table.factories.FactoryUtil;
import org.apache.flink.table.types.logical.LogicalType;
import org.apache.flink.table.types.logical.LogicalTypeRoot;
import org.apache.flink.types.RowKind;

/**
 * The connector 'tally': every row that arrives is counted and its numbers are added up, taken off
 * again by a retraction. What is left in the end are the number of rows and the sums of the result.
 */
public final class Tally implements DynamicTableSinkFactory {
    static final ConfigOption<String> CHANGES = ConfigOptions.key("changes").stringType().noDefaultValue();

    /** One per writer: rows that arrived, rows that are left, sums by column (0 for texts). */
    static final class Sums {
        long arrived;
        long left;
        double[] sums;
    }

    static final List<Sums> ALL = new ArrayList<>();
    static String[] names;

    static synchronized void clear() {
        ALL.clear();
    }

    static synchronized String json() {
        long arrived = 0;
        long left = 0;
        double[] sums = new double[names.length];
        for (Sums one : ALL) {
            arrived += one.arrived;
            left += one.left;
            for (int i = 0; i < sums.length; i++) {
                sums[i] += one.sums[i];
            }
        }
        StringBuilder text = new StringBuilder("{\"arrived\": " + arrived + ", \"rows\": " + left + ", \"sums\": {");
        String comma = "";
        for (int i = 0; i < sums.length; i++) {
            if (names[i] != null) {
                text.append(comma).append('"').append(names[i]).append("\": ").append(sums[i]);
                comma = ", ";
            }
        }
        return text.append("}}").toString();
    }

    @Override
    public String factoryIdentifier() {
        return "tally";
    }

    @Override
    public Set<ConfigOption<?>> requiredOptions() {
        return Set.of(CHANGES);
    }

    @Override
    public Set<ConfigOption<?>> optionalOptions() {
        return Set.of();
    }

    @Override
    public DynamicTableSink createDynamicTableSink(Context context) {
        boolean upsert = FactoryUtil.createTableFactoryHelper(this, context).getOptions().get(CHANGES).equals("upsert");
        List<LogicalType> types = new ArrayList<>();
        List<String> columns = new ArrayList<>();
        context.getCatalogTable().getResolvedSchema().getColumns().forEach(column -> {
            LogicalType type = column.getDataType().getLogicalType();
            types.add(type);
            boolean number = type.is(LogicalTypeRoot.BIGINT) || type.is(LogicalTypeRoot.DOUBLE);
            columns.add(number ? column.getName() : null);
        });
        names = columns.toArray(new String[0]);
        boolean[] whole = new boolean[names.length];
        for (int i = 0; i < whole.length; i++) {
            whole[i] = types.get(i).is(LogicalTypeRoot.BIGINT);
        }
        return new Table(upsert, whole, names);
    }

    record Table(boolean upsert, boolean[] whole, String[] names) implements DynamicTableSink {
        @Override
        public ChangelogMode getChangelogMode(ChangelogMode requested) {
            return upsert ? ChangelogMode.upsert() : ChangelogMode.all();
        }

        @Override
        public SinkRuntimeProvider getSinkRuntimeProvider(Context context) {
            return SinkV2Provider.of(new Rows(whole, names));
        }

        @Override
        public DynamicTableSink copy() {
            return this;
        }

        @Override
        public String asSummaryString() {
            return "tally";
        }
    }

    record Rows(boolean[] whole, String[] names) implements Sink<RowData> {
        @Override
        public SinkWriter<RowData> createWriter(WriterInitContext context) {
            Sums own = new Sums();
            own.sums = new double[whole.length];
            synchronized (Tally.class) {
                ALL.add(own);
            }
            return new Writer(own, whole, names);
        }
    }

    record Writer(Sums own, boolean[] whole, String[] names) implements SinkWriter<RowData> {
        @Override
        public void write(RowData row, Context context) {
            RowKind kind = row.getRowKind();
            int sign = kind == RowKind.UPDATE_BEFORE || kind == RowKind.DELETE ? -1 : 1;
            own.arrived += 1;
            own.left += sign;
            for (int i = 0; i < whole.length; i++) {
                if (names[i] != null) {
                    own.sums[i] += sign * (whole[i] ? row.getLong(i) : row.getDouble(i));
                }
            }
        }

        @Override
        public void flush(boolean endOfInput) {}

        @Override
        public void close() {}
    }
}
