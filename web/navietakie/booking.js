import { same } from './same.js';

/** What the company has ordered for a booking: `{closed_at, muted}`, by its messages and as the server sums them up. */
export const booking = {
  open: { closed_at: null, muted: [] },

  /** The booking after a message: itself where that orders nothing. */
  after(now, { sender, message_type, metadata, timestamp }) {
    if (sender !== 'system' || message_type !== 'system') return now;
    const { event, side } = metadata ?? {};
    if (event === 'booking_closed') return { ...now, closed_at: now.closed_at ?? timestamp };
    if (event === 'booking_opened') return booking.same(now, { ...now, closed_at: null });
    if (event !== 'side_muted' && event !== 'side_unmuted') return now;
    const others = now.muted.filter((each) => each !== side);
    return booking.same(now, { ...now, muted: event === 'side_muted' ? [...others, side].sort() : others });
  },

  /** The booking as it is, or the object that was where nothing differs. */
  same(was, is) {
    if (!is) return was;
    const { closed_at = null, muted = [] } = is;
    const silent = muted.length === was.muted.length && muted.every((side) => was.muted.includes(side));
    return same(was, { closed_at, muted: silent ? was.muted : muted });
  },
};
