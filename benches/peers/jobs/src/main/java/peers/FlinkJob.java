package peers;

import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.stream.Collectors;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.serialization.DeserializationSchema;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.connector.kafka.sink.KafkaRecordSerializationSchema;
import org.apache.flink.connector.kafka.sink.KafkaSink;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;
import org.apache.kafka.clients.producer.ProducerRecord;

/** The reference job in Flink: one keyed function with a value state, exactly once. */
public final class FlinkJob {
  private FlinkJob() {}

  public static void main(String[] array) throws Exception {
    Arguments arguments = Arguments.of(array);
    Map<String, String> settings = arguments.settingsOf("flink.").entrySet().stream()
        .collect(Collectors.toMap(entry -> entry.getKey().toString(), entry -> entry.getValue().toString()));
    settings.put("execution.checkpointing.dir", arguments.folder().resolve("checkpoints").toUri().toString());
    settings.put("rest.bind-address", "127.0.0.1");
    settings.put("rest.port", "0");
    Configuration configuration = Configuration.fromMap(settings);
    int parallelism = Integer.parseInt(settings.getOrDefault("parallelism.default", "1"));
    StreamExecutionEnvironment flink = StreamExecutionEnvironment.createLocalEnvironment(parallelism, configuration);

    KafkaSource<Event> source = KafkaSource.<Event>builder()
        .setBootstrapServers(arguments.brokers())
        .setTopics(arguments.input())
        .setGroupId(arguments.name())
        .setStartingOffsets(OffsetsInitializer.earliest())
        .setValueOnlyDeserializer(new Events())
        .setProperties(arguments.settingsOf("consumer."))
        .build();
    KafkaSink<Output> sink = KafkaSink.<Output>builder()
        .setBootstrapServers(arguments.brokers())
        .setRecordSerializer(new Outputs(arguments.output()))
        .setDeliveryGuarantee(DeliveryGuarantee.EXACTLY_ONCE)
        .setTransactionalIdPrefix(arguments.name())
        .setKafkaProducerConfig(arguments.settingsOf("producer."))
        .build();
    // The records' timestamps are the times of the events.
    flink.fromSource(source, WatermarkStrategy.forMonotonousTimestamps(), "events")
        .keyBy(event -> event.customerId)
        .process(new Segmenter())
        .sinkTo(sink);
    flink.execute(arguments.name());
  }

  /** A change as it is written; function and sink are one task, so it is not serialised between them. */
  public static final class Output {
    public String customerId;
    public long time;
    public byte[] json;

    static Output of(Change change) {
      Output output = new Output();
      output.customerId = change.customerId();
      output.time = change.effectiveAt();
      output.json = change.toJson();
      return output;
    }
  }

  private static final class Events implements DeserializationSchema<Event> {
    @Override
    public Event deserialize(byte[] bytes) {
      return Event.parse(bytes);
    }

    @Override
    public boolean isEndOfStream(Event event) {
      return false;
    }

    @Override
    public TypeInformation<Event> getProducedType() {
      return new SerializerInformation<>(Event.class, new EventSerializer());
    }
  }

  private record Outputs(String topic) implements KafkaRecordSerializationSchema<Output> {
    @Override
    public ProducerRecord<byte[], byte[]> serialize(Output output, KafkaSinkContext context, Long timestamp) {
      byte[] key = output.customerId.getBytes(StandardCharsets.UTF_8);
      return new ProducerRecord<>(topic, null, output.time, key, output.json);
    }
  }

  private static final class Segmenter extends KeyedProcessFunction<String, Event, Output> {
    private transient ValueState<Customer> state;

    @Override
    public void open(OpenContext context) {
      state = getRuntimeContext().getState(new ValueStateDescriptor<>("customer", new CustomerSerializer()));
    }

    @Override
    public void processElement(Event event, Context context, Collector<Output> out) throws Exception {
      Customer customer = state.value();
      if (customer == null) {
        customer = new Customer();
      }
      customer.apply(event, change -> out.collect(Output.of(change)));
      store(customer, context);
    }

    @Override
    public void onTimer(long at, OnTimerContext context, Collector<Output> out) throws Exception {
      Customer customer = state.value();
      if (customer == null || customer.timer != at) {
        return;
      }
      customer.timer = 0;
      customer.advance(context.getCurrentKey(), at, change -> out.collect(Output.of(change)));
      store(customer, context);
    }

    private void store(Customer customer, Context context) throws Exception {
      if (customer.needsTimer()) {
        customer.timer = customer.deadline();
        context.timerService().registerEventTimeTimer(customer.timer);
      }
      state.update(customer);
    }
  }
}
