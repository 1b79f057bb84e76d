// A graph comes a moment after its page: the library that draws it is not needed to read the rest, and its place is kept.
import { lazy, Suspense } from "react";
import type { PlotProps } from "./plot-canvas.tsx";

const Canvas = lazy(() => import("./plot-canvas.tsx"));

export function Plot(props: PlotProps) {
  return (
    <Suspense fallback={<div style={{ height: props.height + 8 }} />}>
      <Canvas {...props} />
    </Suspense>
  );
}
