package peers;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;

/** A customer goes from one segment to another, or in or out of an audience. */
public record Change(
    String customerId,
    String segmentation,
    String from,
    String to,
    long effectiveAt,
    String cause,
    String eventId,
    int orders,
    long revenue) {
  private static final JsonFactory JSON = new JsonFactory();

  public byte[] toJson() {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream(256);
    try (JsonGenerator json = JSON.createGenerator(bytes)) {
      json.writeStartObject();
      json.writeStringField("customer_id", customerId);
      json.writeStringField("segmentation", segmentation);
      json.writeStringField("from", from);
      json.writeStringField("to", to);
      json.writeNumberField("effective_at", effectiveAt);
      json.writeStringField("cause", cause);
      if (eventId != null) {
        json.writeStringField("event_id", eventId);
      }
      json.writeNumberField("orders", orders);
      json.writeNumberField("revenue", revenue);
      json.writeEndObject();
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
    return bytes.toByteArray();
  }
}
