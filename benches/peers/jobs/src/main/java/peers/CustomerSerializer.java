package peers;

import java.io.IOException;
import org.apache.flink.api.common.typeutils.SimpleTypeSerializerSnapshot;
import org.apache.flink.api.common.typeutils.TypeSerializerSnapshot;
import org.apache.flink.api.common.typeutils.base.TypeSerializerSingleton;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;

/** How Flink copies a customer while a checkpoint is written, and writes it. */
public final class CustomerSerializer extends TypeSerializerSingleton<Customer> {
  @Override
  public boolean isImmutableType() {
    return false;
  }

  @Override
  public Customer createInstance() {
    return new Customer();
  }

  @Override
  public Customer copy(Customer customer) {
    return customer.copy();
  }

  @Override
  public Customer copy(Customer customer, Customer reuse) {
    return customer.copy();
  }

  @Override
  public int getLength() {
    return -1;
  }

  @Override
  public void serialize(Customer customer, DataOutputView out) throws IOException {
    byte[] bytes = customer.toBytes();
    out.writeInt(bytes.length);
    out.write(bytes);
  }

  @Override
  public Customer deserialize(DataInputView in) throws IOException {
    byte[] bytes = new byte[in.readInt()];
    in.readFully(bytes);
    return Customer.fromBytes(bytes);
  }

  @Override
  public Customer deserialize(Customer reuse, DataInputView in) throws IOException {
    return deserialize(in);
  }

  @Override
  public void copy(DataInputView in, DataOutputView out) throws IOException {
    int length = in.readInt();
    out.writeInt(length);
    out.write(in, length);
  }

  @Override
  public TypeSerializerSnapshot<Customer> snapshotConfiguration() {
    return new Snapshot();
  }

  public static final class Snapshot extends SimpleTypeSerializerSnapshot<Customer> {
    public Snapshot() {
      super(CustomerSerializer::new);
    }
  }
}
