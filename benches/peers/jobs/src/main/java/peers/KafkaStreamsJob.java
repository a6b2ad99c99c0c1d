package peers;

import java.time.Duration;
import java.util.Comparator;
import java.util.PriorityQueue;
import java.util.Properties;
import java.util.function.Consumer;
import java.util.function.Function;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.processor.PunctuationType;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.StoreBuilder;
import org.apache.kafka.streams.state.Stores;

/** The reference job in Kafka Streams: one processor with a key-value store, exactly once. */
public final class KafkaStreamsJob {
  private static final String STORE = "customers";
  /** How often timers are looked at, in the time of the stream. */
  private static final Duration TIMERS_EVERY = Duration.ofHours(1);

  private KafkaStreamsJob() {}

  public static void main(String[] array) throws Exception {
    Arguments arguments = Arguments.of(array);
    Properties settings = arguments.settingsOf("streams.");
    settings.put(StreamsConfig.APPLICATION_ID_CONFIG, arguments.name());
    settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, arguments.brokers());
    settings.put(StreamsConfig.STATE_DIR_CONFIG, arguments.folder().toString());
    settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
    settings.put(StreamsConfig.consumerPrefix("auto.offset.reset"), "earliest");

    KafkaStreams streams = new KafkaStreams(topology(arguments), settings);
    streams.setUncaughtExceptionHandler(error -> {
      error.printStackTrace();
      return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
    });
    streams.setStateListener((now, before) -> {
      if (now == KafkaStreams.State.ERROR) {
        Runtime.getRuntime().halt(1);
      }
    });
    Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(30))));
    streams.start();
  }

  private static Topology topology(Arguments arguments) {
    boolean onDisk = "rocksdb".equals(arguments.settings().get("store"));
    StoreBuilder<KeyValueStore<String, Customer>> store = Stores.keyValueStoreBuilder(
        onDisk ? Stores.persistentKeyValueStore(STORE) : Stores.inMemoryKeyValueStore(STORE),
        Serdes.String(),
        serde(Customer::toBytes, Customer::fromBytes));
    if (Boolean.parseBoolean(arguments.settings().get("store.cached"))) {
      store = store.withCachingEnabled();
    }
    Serde<Event> events = serde(event -> { throw new UnsupportedOperationException("events are only read"); }, Event::parse);
    StreamsBuilder builder = new StreamsBuilder();
    builder.addStateStore(store);
    builder.stream(arguments.input(), Consumed.with(Serdes.String(), events))
        .process(Segmenter::new, STORE)
        .to(arguments.output(), Produced.with(Serdes.String(), serde(change -> change, bytes -> bytes)));
    return builder.build();
  }

  private static <T> Serde<T> serde(Function<T, byte[]> write, Function<byte[], T> read) {
    return Serdes.serdeFrom(
        (topic, value) -> value == null ? null : write.apply(value),
        (topic, bytes) -> bytes == null ? null : read.apply(bytes));
  }

  private record Timer(long at, String customerId) {}

  private static final class Segmenter implements Processor<String, Event, String, byte[]> {
    private ProcessorContext<String, byte[]> context;
    private KeyValueStore<String, Customer> customers;
    private final PriorityQueue<Timer> timers = new PriorityQueue<>(Comparator.comparingLong(Timer::at));

    @Override
    public void init(ProcessorContext<String, byte[]> context) {
      this.context = context;
      customers = context.getStateStore(STORE);
      try (var all = customers.all()) {
        all.forEachRemaining(entry -> {
          if (entry.value.timer != 0) {
            timers.add(new Timer(entry.value.timer, entry.key));
          }
        });
      }
      context.schedule(TIMERS_EVERY, PunctuationType.STREAM_TIME, this::fire);
    }

    @Override
    public void process(Record<String, Event> record) {
      String id = record.key();
      Customer customer = customers.get(id);
      if (customer == null) {
        customer = new Customer();
      }
      customer.apply(record.value(), publisher(id));
      store(id, customer);
    }

    private void fire(long now) {
      while (!timers.isEmpty() && timers.peek().at() <= now) {
        Timer timer = timers.poll();
        Customer customer = customers.get(timer.customerId());
        if (customer == null || customer.timer != timer.at()) {
          continue;
        }
        customer.timer = 0;
        customer.advance(timer.customerId(), now, publisher(timer.customerId()));
        store(timer.customerId(), customer);
      }
    }

    private void store(String id, Customer customer) {
      if (customer.needsTimer()) {
        customer.timer = customer.deadline();
        timers.add(new Timer(customer.timer, id));
      }
      customers.put(id, customer);
    }

    private Consumer<Change> publisher(String id) {
      return change -> context.forward(new Record<>(id, change.toJson(), change.effectiveAt()));
    }
  }
}
