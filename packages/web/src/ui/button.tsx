import type { ButtonHTMLAttributes } from "react";

type Tone = "primary" | "plain" | "danger" | "quiet";

const tones: Readonly<Record<Tone, string>> = {
  primary: "bg-accent text-on-accent border-transparent hover:opacity-90",
  plain: "bg-surface text-text border-line hover:bg-raised",
  danger: "bg-bad-ground text-bad border-bad/40 hover:border-bad",
  quiet: "bg-transparent text-soft border-transparent hover:bg-raised hover:text-text",
};

interface Props extends ButtonHTMLAttributes<HTMLButtonElement> {
  readonly tone?: Tone;
  readonly isBusy?: boolean;
}

/** Says that it works by its look, not by its width: nothing moves while one waits. */
export function Button({ tone = "plain", isBusy = false, className = "", children, disabled, ...rest }: Props) {
  return (
    <button
      type="button"
      {...rest}
      disabled={disabled === true || isBusy}
      aria-busy={isBusy || undefined}
      className={`${buttonLook} ${tones[tone]} ${isBusy ? "animate-pulse" : ""} ${className}`}
    >
      {children}
    </button>
  );
}

export const buttonLook =
  "inline-flex h-8 shrink-0 items-center justify-center gap-1.5 rounded-md border px-3 text-sm font-medium whitespace-nowrap transition-colors disabled:cursor-not-allowed disabled:opacity-50";
export const primaryLook = tones.primary;
export const plainLook = tones.plain;
export const quietLook = tones.quiet;
