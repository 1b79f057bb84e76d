/** A sum in US dollars; more digits where it is small. */
export const dollars = (value: number): string =>
  `${value < 0 ? "−" : ""}$${Math.abs(value).toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: Math.abs(value) < 1 ? 4 : 2 })}`;

/** US dollars an hour, as prices of instances are told. */
export const dollarsAnHour = (value: number): string => `$${value.toFixed(value < 0.1 ? 4 : value < 100 ? 3 : 0)}/h`;
