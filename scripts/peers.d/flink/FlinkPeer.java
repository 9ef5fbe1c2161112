import java.util.HashMap;
import java.util.Map;

import org.apache.flink.configuration.Configuration;
import org.apache.flink.runtime.util.EnvironmentInformation;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.table.api.bridge.java.StreamTableEnvironment;

/**
 * Flink SQL in streaming mode, in a cluster inside this process.
 *
 * <pre>java FlinkPeer CASE THREADS IN WARM OUT</pre>
 *
 * IN and WARM are folders of CSV files without header (Flink's format cannot skip one), OUT the
 * folder of the result. The same statement first runs over the few rows in WARM, so that the
 * classes are loaded and the compiler of the machine has begun. The seconds are what the job itself
 * says that it ran: without planning and without starting the cluster.
 *
 * Results that only grow go to a CSV file. Those with updates (S2, S3b, 1BRC) cannot: they go into
 * {@link Tally}, which counts and adds up every row and drops it, the cheapest that still sees each.
 */
public final class FlinkPeer {
    static final String ORDERS =
            "CREATE TABLE input (order_id INT, customer_id INT, order_date STRING, total_amount DOUBLE) %s";
    static final String MARKET =
            "CREATE TABLE input (trade_time BIGINT, trader_id STRING, symbol STRING, price DOUBLE, quantity INT,"
                    + " ts AS TO_TIMESTAMP_LTZ(trade_time, 3), WATERMARK FOR ts AS ts - INTERVAL '2' SECOND) %s";
    static final String STATIONS = "CREATE TABLE input (station STRING, temp DOUBLE) %s";

    static final String TOTALS =
            "COUNT(*), AVG(price), SUM(CAST(quantity AS BIGINT)), SUM(price * quantity)";
    static final String TOTALS_OUT = "trades BIGINT, avg_price DOUBLE, volume BIGINT, turnover DOUBLE";
    static final String ORDERS_OUT = "order_id INT, customer_id INT, order_date STRING, total_amount DOUBLE";
    static final String WINDOW_OUT =
            "trader_id STRING, symbol STRING, window_start TIMESTAMP(3), window_end TIMESTAMP(3), " + TOTALS_OUT;

    /** A case: its input, its output's columns, what kind of changes come out, the query. */
    record Case(String input, String columns, String changes, String query) {}

    static final Map<String, Case> CASES = new HashMap<>();

    static {
        String orders = "SELECT order_id, customer_id, order_date, total_amount FROM input";
        CASES.put("S0n", new Case(ORDERS, ORDERS_OUT, "none", orders + " WHERE total_amount > 396"));
        CASES.put("S0w", new Case(ORDERS, ORDERS_OUT, "none", orders + " WHERE total_amount > 200"));
        CASES.put("S0a", new Case(ORDERS, ORDERS_OUT, "none", orders));
        CASES.put("S1", new Case(MARKET,
                "symbol STRING, trade_time BIGINT, price DOUBLE, avg_price DOUBLE, min_price DOUBLE, max_price DOUBLE",
                "none",
                "SELECT symbol, trade_time, price, AVG(price) OVER w, MIN(price) OVER w, MAX(price) OVER w FROM input"
                        + " WINDOW w AS (PARTITION BY symbol ORDER BY ts ROWS BETWEEN 99 PRECEDING AND CURRENT ROW)"));
        CASES.put("S2", new Case(MARKET,
                "trader_id STRING, symbol STRING, " + TOTALS_OUT + ", min_price DOUBLE, max_price DOUBLE",
                "retract",
                "SELECT trader_id, symbol, " + TOTALS + ", MIN(price), MAX(price) FROM input GROUP BY trader_id, symbol"));
        CASES.put("S3a", new Case(MARKET, WINDOW_OUT, "none",
                "SELECT trader_id, symbol, window_start, window_end, " + TOTALS
                        + " FROM TABLE(TUMBLE(TABLE input, DESCRIPTOR(ts), INTERVAL '1' MINUTE))"
                        + " GROUP BY trader_id, symbol, window_start, window_end"));
        CASES.put("S3b", new Case(MARKET,
                "trader_id STRING, symbol STRING, window_start TIMESTAMP_LTZ(3), window_end TIMESTAMP_LTZ(3), " + TOTALS_OUT
                        + ", PRIMARY KEY (trader_id, symbol, window_start) NOT ENFORCED",
                "upsert",
                "SELECT trader_id, symbol, m, m + INTERVAL '1' MINUTE, " + TOTALS
                        + " FROM (SELECT *, TO_TIMESTAMP_LTZ(trade_time / 60000 * 60000, 3) AS m FROM input)"
                        + " GROUP BY trader_id, symbol, m"));
        CASES.put("1BRC", new Case(STATIONS,
                "station STRING, min_temp DOUBLE, avg_temp DOUBLE, max_temp DOUBLE", "retract",
                "SELECT station, MIN(temp), AVG(temp), MAX(temp) FROM input GROUP BY station"));
    }

    public static void main(String[] arguments) throws Exception {
        String name = arguments[0];
        int threads = Integer.parseInt(arguments[1]);
        Case one = CASES.get(name);
        run(name, one, threads, arguments[3], null);
        double seconds = run(name, one, threads, arguments[2], arguments[4]);
        System.out.printf("{\"seconds\": %.3f, \"version\": \"%s\", \"tally\": %s}%n",
                seconds, EnvironmentInformation.getVersion(), one.changes.equals("none") ? "null" : Tally.json());
    }

    /** Seconds that the job ran for. Without `out`, rows of results that only grow are dropped. */
    static double run(String name, Case one, int threads, String in, String out) throws Exception {
        Configuration settings = new Configuration();
        settings.setString("parallelism.default", Integer.toString(threads));
        settings.setString("execution.runtime-mode", "STREAMING");
        settings.setString("pipeline.object-reuse", "true");
        settings.setString("state.backend.type", "hashmap");
        settings.setString("rest.port", "0");
        StreamExecutionEnvironment cluster = StreamExecutionEnvironment.createLocalEnvironment(threads, settings);
        StreamTableEnvironment tables = StreamTableEnvironment.create(cluster);
        tables.getConfig().set("table.local-time-zone", "UTC");
        if (one.changes.equals("retract")) { // What Flink's own guide to tuning names first.
            tables.getConfig().set("table.exec.mini-batch.enabled", "true");
            tables.getConfig().set("table.exec.mini-batch.allow-latency", "1 s");
            tables.getConfig().set("table.exec.mini-batch.size", "20000");
            tables.getConfig().set("table.optimizer.agg-phase-strategy", "TWO_PHASE");
        }
        String delimiter = name.equals("1BRC") ? ", 'csv.field-delimiter' = ';', 'csv.disable-quote-character' = 'true'" : "";
        tables.executeSql(String.format(one.input,
                String.format("WITH ('connector' = 'filesystem', 'path' = '%s', 'format' = 'csv'%s)", in, delimiter)));
        String sink = "'connector' = 'blackhole'";
        if (!one.changes.equals("none")) {
            Tally.clear();
            sink = "'connector' = 'tally', 'changes' = '" + one.changes + "'";
        } else if (out != null) {
            sink = "'connector' = 'filesystem', 'path' = '" + out + "', 'format' = 'csv'";
        }
        tables.executeSql("CREATE TABLE output (" + one.columns + ") WITH (" + sink + ")");
        return tables.executeSql("INSERT INTO output " + one.query)
                .getJobClient().orElseThrow().getJobExecutionResult().get().getNetRuntime() / 1000.0;
    }
}
