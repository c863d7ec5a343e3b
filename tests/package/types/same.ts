/** True if the two types are the same; otherwise shows the difference. */
export type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : { is: A; not: B };

/** Fails to compile unless the type is `true`. */
export function holds<_ extends true>(): void {}
