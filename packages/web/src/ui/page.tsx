import { type ReactNode, useEffect } from "react";

interface Props {
  readonly title: string;
  readonly heading?: ReactNode;
  readonly aside?: ReactNode;
  /** One line under the title: what this is for. */
  readonly about?: ReactNode;
  readonly children: ReactNode;
}

export function Page({ title, heading, aside, about, children }: Props) {
  useEffect(() => {
    document.title = `${title} · Aether Guard`;
  }, [title]);
  return (
    <div className="mx-auto w-full max-w-[88rem] px-4 pt-5 pb-16 sm:px-6">
      <div className="mb-4 flex min-h-8 flex-wrap items-center gap-x-3 gap-y-2">
        <h1 className="min-w-0 py-1 text-lg font-semibold tracking-tight break-words [&_a]:font-semibold">{heading ?? title}</h1>
        {aside !== undefined && <div className="ml-auto flex flex-wrap items-center gap-2">{aside}</div>}
        {about !== undefined && (
          <div className="basis-full text-soft">
            <p className="max-w-3xl">{about}</p>
          </div>
        )}
      </div>
      {children}
    </div>
  );
}
