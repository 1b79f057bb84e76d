import { useEffect, useRef, useState } from "react";

/** How wide the place is, as it changes; 0 before it is there. */
export function useWidth<Place extends HTMLElement = HTMLDivElement>() {
  const ref = useRef<Place>(null);
  const [width, setWidth] = useState(0);
  useEffect(() => {
    const element = ref.current;
    if (element === null) return;
    const observer = new ResizeObserver(() => setWidth(element.clientWidth));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  return [ref, width] as const;
}
