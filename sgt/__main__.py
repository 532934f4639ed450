from sgt.commands.main import main

raise SystemExit(main())
