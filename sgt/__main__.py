from sgt.cli import main

raise SystemExit(main())
