import { type InputHTMLAttributes, type ReactNode, type SelectHTMLAttributes, useId } from "react";

export const inputLook =
  "h-8 w-full min-w-0 rounded-md border border-line bg-ground px-2.5 text-sm text-text placeholder:text-soft hover:border-soft/60";

interface Labelled {
  readonly label: string;
  readonly note?: ReactNode;
  readonly problem?: string | undefined;
}

export function TextField({ label, note, problem, ...rest }: Labelled & InputHTMLAttributes<HTMLInputElement>) {
  const id = useId();
  return (
    <div className="grid content-start gap-1">
      <label htmlFor={id} className="font-medium">
        {label}
      </label>
      <input id={id} {...rest} aria-describedby={`${id}-note`} aria-invalid={problem !== undefined} className={inputLook} />
      <p id={`${id}-note`} className={`text-xs ${problem === undefined ? "text-soft" : "text-bad"}`}>
        {problem ?? note}
      </p>
    </div>
  );
}

export function SelectField({ label, note, children, ...rest }: Labelled & SelectHTMLAttributes<HTMLSelectElement>) {
  const id = useId();
  return (
    <div className="grid content-start gap-1">
      <label htmlFor={id} className="font-medium">
        {label}
      </label>
      <select id={id} {...rest} className={inputLook}>
        {children}
      </select>
      {note !== undefined && <p className="text-xs text-soft">{note}</p>}
    </div>
  );
}
