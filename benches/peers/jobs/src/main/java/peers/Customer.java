package peers;

import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.function.Consumer;

/**
 * What the job remembers of one customer, its segment and audiences, and when time alone changes one of them.
 *
 * <p>Events of one customer come in the order of their times. A window of d days is the interval (now - d, now].
 */
public final class Customer {
  private static final long DAY = 86_400_000L;
  private static final long VIEW_DAYS = 7;
  private static final int VIEWS_MIN = 5;
  private static final long REVENUE_DAYS = 30;
  private static final long REVENUE_ABOVE = 200_00;

  private static final String[] SEGMENTS = {"prospect", "new", "active", "at_risk", "dormant"};
  /** By segment: days after the latest order at whose end it is left; 0 where time alone changes nothing. */
  private static final long[] SEGMENT_DAYS = {0, 30, 14, 45, 0};

  private static final byte SEGMENT_BITS = 7;
  private static final byte FREQUENT_VIEWER = 8;
  private static final byte HIGH_VALUE = 16;
  private static final byte NONE = -1;

  /** The moment for which a runtime holds a timer of this customer; 0 for none. */
  public long timer;

  private int orders;
  /** Cents. */
  private long revenue;
  private long lastOrder;
  /** The segment, and a bit for each audience; NONE before the first event. */
  private byte values = NONE;
  /** When time alone changes a value; 0 for never. */
  private long deadline;
  /** Orders, and refunds as negative amounts, of the last 30 days. */
  private int amountCount;
  private long[] amountTimes = new long[4];
  private int[] amounts = new int[4];
  /** Views of the last seven days. */
  private int viewCount;
  private long[] viewTimes = new long[4];

  /** Whether a runtime must set a timer for the deadline: it has none, or a later one. */
  public boolean needsTimer() {
    return deadline != 0 && (timer == 0 || timer > deadline);
  }

  public long deadline() {
    return deadline;
  }

  /** What time changed until then comes first, each at its own instant. */
  public void apply(Event event, Consumer<Change> out) {
    advance(event.customerId, event.time, out);
    switch (event.type) {
      case PURCHASE -> {
        orders++;
        lastOrder = event.time;
        addAmount(event.time, event.amount);
      }
      case REFUND -> addAmount(event.time, -event.amount);
      case VIEW -> addView(event.time);
      case OTHER -> {}
    }
    evaluate(event.customerId, event.time, "event", event.eventId, out);
  }

  /** Publishes what time alone changes up to a moment. */
  public void advance(String customerId, long until, Consumer<Change> out) {
    while (deadline != 0 && deadline <= until) {
      evaluate(customerId, deadline, "time", null, out);
    }
  }

  private void evaluate(String id, long now, String cause, String eventId, Consumer<Change> out) {
    forget(now);
    byte before = values;
    int segment = segment(now);
    values = (byte) (segment | (viewCount >= VIEWS_MIN ? FREQUENT_VIEWER : 0) | (isHigh(recentRevenue()) ? HIGH_VALUE : 0));
    deadline = nextDeadline(segment);
    if (before == values) {
      return;
    }
    boolean isNew = before == NONE;
    if (isNew || (before & SEGMENT_BITS) != segment) {
      String from = isNew ? null : SEGMENTS[before & SEGMENT_BITS];
      out.accept(new Change(id, "lifecycle", from, SEGMENTS[segment], now, cause, eventId, orders, revenue));
    }
    int flipped = values ^ (isNew ? 0 : before);
    publishAudience(id, "frequent_viewer_7d", FREQUENT_VIEWER, flipped, now, cause, eventId, out);
    publishAudience(id, "high_value_30d", HIGH_VALUE, flipped, now, cause, eventId, out);
  }

  private void publishAudience(
      String id, String name, byte bit, int flipped, long now, String cause, String eventId, Consumer<Change> out) {
    if ((flipped & bit) != 0) {
      boolean isIn = (values & bit) != 0;
      String from = isIn ? "out" : "in";
      out.accept(new Change(id, name, from, isIn ? "in" : "out", now, cause, eventId, orders, revenue));
    }
  }

  private int segment(long now) {
    if (orders == 0) {
      return 0;
    }
    long recency = now - lastOrder;
    if (orders == 1 && recency <= 30 * DAY) {
      return 1;
    }
    return recency <= 14 * DAY ? 2 : recency <= 45 * DAY ? 3 : 4;
  }

  private static boolean isHigh(long revenue) {
    return revenue > REVENUE_ABOVE;
  }

  private long recentRevenue() {
    long sum = 0;
    for (int index = 0; index < amountCount; index++) {
      sum += amounts[index];
    }
    return sum;
  }

  private long nextDeadline(int segment) {
    long next = Long.MAX_VALUE;
    if (SEGMENT_DAYS[segment] != 0) {
      next = lastOrder + SEGMENT_DAYS[segment] * DAY + 1;
    }
    if (viewCount >= VIEWS_MIN) {
      next = Math.min(next, viewTimes[viewCount - VIEWS_MIN] + VIEW_DAYS * DAY);
    }
    long left = recentRevenue();
    boolean isHigh = isHigh(left);
    for (int index = 0; index < amountCount; index++) {
      left -= amounts[index];
      boolean isLastOfItsTime = index + 1 == amountCount || amountTimes[index + 1] != amountTimes[index];
      if (isLastOfItsTime && isHigh(left) != isHigh) {
        next = Math.min(next, amountTimes[index] + REVENUE_DAYS * DAY);
        break;
      }
    }
    return next == Long.MAX_VALUE ? 0 : next;
  }

  /** Forgets what has left the windows. */
  private void forget(long now) {
    int gone = 0;
    while (gone < amountCount && amountTimes[gone] <= now - REVENUE_DAYS * DAY) {
      gone++;
    }
    if (gone > 0) {
      amountCount -= gone;
      System.arraycopy(amountTimes, gone, amountTimes, 0, amountCount);
      System.arraycopy(amounts, gone, amounts, 0, amountCount);
    }
    gone = 0;
    while (gone < viewCount && viewTimes[gone] <= now - VIEW_DAYS * DAY) {
      gone++;
    }
    if (gone > 0) {
      viewCount -= gone;
      System.arraycopy(viewTimes, gone, viewTimes, 0, viewCount);
    }
  }

  private void addAmount(long time, long amount) {
    revenue += amount;
    if (amountCount == amounts.length) {
      amountTimes = Arrays.copyOf(amountTimes, 2 * amountCount);
      amounts = Arrays.copyOf(amounts, 2 * amountCount);
    }
    amountTimes[amountCount] = time;
    amounts[amountCount++] = Math.toIntExact(amount);
  }

  private void addView(long time) {
    if (viewCount == viewTimes.length) {
      viewTimes = Arrays.copyOf(viewTimes, 2 * viewCount);
    }
    viewTimes[viewCount++] = time;
  }

  public Customer copy() {
    Customer copy = new Customer();
    copy.timer = timer;
    copy.orders = orders;
    copy.revenue = revenue;
    copy.lastOrder = lastOrder;
    copy.values = values;
    copy.deadline = deadline;
    copy.amountCount = amountCount;
    copy.amountTimes = amountTimes.clone();
    copy.amounts = amounts.clone();
    copy.viewCount = viewCount;
    copy.viewTimes = viewTimes.clone();
    return copy;
  }

  public byte[] toBytes() {
    ByteBuffer bytes = ByteBuffer.allocate(4 * Long.BYTES + 3 * Integer.BYTES + 1 + 12 * amountCount + 8 * viewCount);
    bytes.putLong(timer).putLong(revenue).putLong(lastOrder).putLong(deadline);
    bytes.putInt(orders).putInt(amountCount).putInt(viewCount).put(values);
    for (int index = 0; index < amountCount; index++) {
      bytes.putLong(amountTimes[index]).putInt(amounts[index]);
    }
    for (int index = 0; index < viewCount; index++) {
      bytes.putLong(viewTimes[index]);
    }
    return bytes.array();
  }

  public static Customer fromBytes(byte[] array) {
    ByteBuffer bytes = ByteBuffer.wrap(array);
    Customer customer = new Customer();
    customer.timer = bytes.getLong();
    customer.revenue = bytes.getLong();
    customer.lastOrder = bytes.getLong();
    customer.deadline = bytes.getLong();
    customer.orders = bytes.getInt();
    customer.amountCount = bytes.getInt();
    customer.viewCount = bytes.getInt();
    customer.values = bytes.get();
    // One more than needed: most often an event follows that adds one.
    customer.amountTimes = new long[customer.amountCount + 1];
    customer.amounts = new int[customer.amountCount + 1];
    for (int index = 0; index < customer.amountCount; index++) {
      customer.amountTimes[index] = bytes.getLong();
      customer.amounts[index] = bytes.getInt();
    }
    customer.viewTimes = new long[customer.viewCount + 1];
    for (int index = 0; index < customer.viewCount; index++) {
      customer.viewTimes[index] = bytes.getLong();
    }
    return customer;
  }
}
