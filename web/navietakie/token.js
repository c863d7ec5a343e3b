const DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

/**
 * What a JWT says of itself (`exp`, `sub`, `role`, `booking_code`); `{}` for what cannot be read. Nothing is verified:
 * that is the server's business.
 */
export function claimsOf(token) {
  try {
    let escaped = '';
    let bits = 0;
    let count = 0;
    for (const character of token.split('.')[1]) {
      bits = ((bits << 6) | DIGITS.indexOf(character)) & 0xffff;
      count += 6;
      if (count < 8) continue;
      count -= 8;
      escaped += `%${((bits >> count) & 0xff).toString(16).padStart(2, '0')}`;
    }
    const claims = JSON.parse(decodeURIComponent(escaped));
    return claims && typeof claims === 'object' ? claims : {};
  } catch {
    return {};
  }
}
